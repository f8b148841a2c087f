-- Reads all sequences.
--
-- KEYS: meta, sequences, waiting
-- ARGV: session or empty, database
-- Returns ok, and key, JSON and number of waiting events of each, or why there is nothing to read.
local meta = redis.call('HMGET', KEYS[1], 'session', 'state', 'sequences', 'waiting', 'database')
if not meta[1] then return {'gone'} end
if meta[5] ~= ARGV[2] then return {'foreign', meta[5] or ''} end
if ARGV[1] ~= '' and meta[1] ~= ARGV[1] then return {'taken', ''} end
if meta[2] ~= 'ready' and meta[2] ~= 'rebuilding' then return {'damaged', 'a commit was left half applied'} end
local all = redis.call('HGETALL', KEYS[2])
if #all ~= 2 * tonumber(meta[3]) or redis.call('ZCARD', KEYS[3]) ~= tonumber(meta[4]) then
  return {'damaged', 'sequences are missing'}
end
local found = {'ok'}
for i = 1, #all, 2 do
  found[#found + 1] = all[i]
  found[#found + 1] = all[i + 1]
  found[#found + 1] = tostring(redis.call('ZLEXCOUNT', KEYS[3], '[' .. all[i] .. '\0', '(' .. all[i] .. '\1'))
end
return found
