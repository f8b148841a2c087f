-- Begins a session on a read model that is as it was seen.
--
-- KEYS: meta
-- ARGV: session and serial as seen, new session, epoch
local meta = redis.call('HMGET', KEYS[1], 'session', 'serial')
if meta[1] ~= ARGV[1] or meta[2] ~= ARGV[2] then return {'changed'} end
redis.call('HSET', KEYS[1], 'session', ARGV[3], 'epoch', ARGV[4], 'serial', '0')
return {'ok'}
