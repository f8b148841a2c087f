-- Reads documents of one collection in byte order of their keys.
--
-- KEYS: meta, collections, documents, index
-- ARGV: session or empty, database, name of the collection, first and last key as ZRANGEBYLEX wants them, limit
-- Returns ok, and key and value of each, or why there is nothing to read.
local meta = redis.call('HMGET', KEYS[1], 'session', 'state', 'position', 'head', 'database')
if not meta[1] then return {'gone'} end
if meta[5] ~= ARGV[2] then return {'foreign', meta[5] or ''} end
if ARGV[1] ~= '' and meta[1] ~= ARGV[1] then return {'taken', ''} end
if meta[2] ~= 'ready' and meta[2] ~= 'rebuilding' then return {'damaged', 'a commit was left half applied'} end
if ARGV[1] == '' and meta[2] == 'rebuilding' then return {'rebuilding', meta[3], meta[4]} end
local n = tonumber(redis.call('HGET', KEYS[2], ARGV[3]) or 0)
if redis.call('HLEN', KEYS[3]) ~= n or redis.call('ZCARD', KEYS[4]) ~= n then
  return {'damaged', 'documents of collection ' .. ARGV[3] .. ' are missing'}
end
local keys = redis.call('ZRANGEBYLEX', KEYS[4], ARGV[4], ARGV[5], 'LIMIT', 0, ARGV[6])
local found, most = {'ok'}, 2000
for from = 1, #keys, most do
  local to = math.min(from + most - 1, #keys)
  local values = redis.call('HMGET', KEYS[3], unpack(keys, from, to))
  for i = from, to do
    if not values[i - from + 1] then return {'damaged', 'documents of collection ' .. ARGV[3] .. ' are missing'} end
    found[#found + 1] = keys[i]
    found[#found + 1] = values[i - from + 1]
  end
end
return found
