-- Reads the first events that wait in a sequence.
--
-- KEYS: meta, waiting
-- ARGV: session or empty, database, key, limit
-- Returns ok and the members, or why there is nothing to read.
local meta = redis.call('HMGET', KEYS[1], 'session', 'state', 'waiting', 'database')
if not meta[1] then return {'gone'} end
if meta[4] ~= ARGV[2] then return {'foreign', meta[4] or ''} end
if ARGV[1] ~= '' and meta[1] ~= ARGV[1] then return {'taken', ''} end
if redis.call('ZCARD', KEYS[2]) ~= tonumber(meta[3]) then return {'damaged', 'waiting events are missing'} end
local found = redis.call('ZRANGEBYLEX', KEYS[2], '[' .. ARGV[3] .. '\0', '(' .. ARGV[3] .. '\1', 'LIMIT', 0, ARGV[4])
table.insert(found, 1, 'ok')
return found
