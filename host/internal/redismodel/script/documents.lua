-- Reads documents by their keys.
--
-- KEYS: meta, collections, then the documents of each collection
-- ARGV: session or empty, database, then for each collection: name, number of keys, keys
-- Returns ok and a value or nothing for each key, or why there is nothing to read.
local meta = redis.call('HMGET', KEYS[1], 'session', 'state', 'position', 'head', 'database')
if not meta[1] then return {'gone'} end
if meta[5] ~= ARGV[2] then return {'foreign', meta[5] or ''} end
if ARGV[1] ~= '' and meta[1] ~= ARGV[1] then return {'taken', ''} end
if meta[2] ~= 'ready' and meta[2] ~= 'rebuilding' then return {'damaged', 'a commit was left half applied'} end
if ARGV[1] == '' and meta[2] == 'rebuilding' then return {'rebuilding', meta[3], meta[4]} end
local found, at, most = {'ok'}, 3, 2000
for i = 3, #KEYS do
  local n = tonumber(ARGV[at + 1])
  if redis.call('HLEN', KEYS[i]) ~= tonumber(redis.call('HGET', KEYS[2], ARGV[at]) or 0) then
    return {'damaged', 'documents of collection ' .. ARGV[at] .. ' are missing'}
  end
  for from = at + 2, at + 1 + n, most do
    local values = redis.call('HMGET', KEYS[i], unpack(ARGV, from, math.min(from + most, at + 2 + n) - 1))
    for _, v in ipairs(values) do found[#found + 1] = v end
  end
  at = at + 2 + n
end
return found
