-- Gives a read model up, unless it is another database's or of an owner who came later.
--
-- KEYS: meta
-- ARGV: epoch, database
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
  local meta = redis.call('HMGET', KEYS[1], 'epoch', 'database')
  if meta[2] and meta[2] ~= ARGV[2] then return {'foreign', meta[2]} end
  if (tonumber(meta[1] or 0) or 0) > tonumber(ARGV[1]) then return {'taken', meta[1]} end
end
redis.call('DEL', KEYS[1])
return {'ok'}
