-- Puts an empty read model in the place of one that is as it was seen, or of none.
--
-- KEYS: meta, then everything that there is of the read model
-- ARGV: session and serial as seen, empty if there were none, then the fields of meta
local session, serial = '', ''
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
  local meta = redis.call('HMGET', KEYS[1], 'session', 'serial')
  session, serial = meta[1] or '', meta[2] or ''
end
if session ~= ARGV[1] or serial ~= ARGV[2] then return {'changed'} end
for i = 1, #KEYS do redis.call('UNLINK', KEYS[i]) end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
return {'ok'}
