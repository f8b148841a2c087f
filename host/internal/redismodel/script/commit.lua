-- Applies the outcome of one batch to a read model, or nothing of it.
--
-- KEYS: meta, collections, sequences, waiting, answers, modules, then documents and index of each collection
-- ARGV: session, epoch, serial, expected, position, digest, since, anchor, updated, database,
--       number of collections, for each: name, writes, deletions, key and data of each write, key of each deletion,
--       then, each after its number: queued members, dequeued members, sequences (key, JSON), ended sequences (key),
--       answers (request, JSON)
-- Returns ok and the state, or why nothing was changed.
local meta = redis.call('HMGET', KEYS[1], 'session', 'epoch', 'serial', 'position', 'state', 'documents', 'sequences', 'waiting', 'head', 'digest', 'database')
if not meta[1] then return {'gone'} end
if meta[11] ~= ARGV[10] then return {'foreign', meta[11] or ''} end
if meta[1] ~= ARGV[1] or meta[2] ~= ARGV[2] then return {'taken', meta[2] or ''} end
if meta[5] ~= 'ready' and meta[5] ~= 'rebuilding' then return {'damaged', 'a commit was left half applied'} end
if meta[4] ~= ARGV[4] then return {'moved', meta[4]} end
if meta[3] ~= ARGV[3] then return {'repeated'} end

-- What the commit says, still changing nothing.
local at = 11
local function take()
  at = at + 1
  return ARGV[at - 1]
end
local function skip(n)
  local from = at
  at = at + n
  return from
end
local collections = {}
for i = 1, tonumber(take()) do
  local c = {name = take(), documents = KEYS[5 + 2 * i], index = KEYS[6 + 2 * i]}
  c.writes, c.deletions = tonumber(take()), tonumber(take())
  c.written, c.deleted = skip(2 * c.writes), skip(c.deletions)
  collections[i] = c
end
local function list(width)
  local n = tonumber(take()) * width
  return {from = skip(n), n = n, width = width}
end
local queued, dequeued, sequences, ended, answers = list(1), list(1), list(2), list(1), list(2)

-- What was lost meanwhile. Each of these calls also fails, before anything is changed, if its key is of another type.
if redis.call('HLEN', KEYS[3]) ~= tonumber(meta[7]) then return {'damaged', 'sequences are missing'} end
if redis.call('ZCARD', KEYS[4]) ~= tonumber(meta[8]) then return {'damaged', 'waiting events are missing'} end
for _, c in ipairs(collections) do
  c.before = tonumber(redis.call('HGET', KEYS[2], c.name) or 0)
  if redis.call('HLEN', c.documents) ~= c.before or redis.call('ZCARD', c.index) ~= c.before then
    return {'damaged', 'documents of collection ' .. c.name .. ' are missing'}
  end
end
redis.call('HLEN', KEYS[6])
for i = answers.from, answers.from + answers.n - 1, 2 do
  if redis.call('HEXISTS', KEYS[5], ARGV[i]) == 1 then return {'repeated'} end
end

-- From here on something is changed. Should anything below fail, the state says so for ever.
redis.call('HSET', KEYS[1], 'state', 'broken')

local most = 2000 -- arguments of one call: Lua's stack is bounded
local function each(command, key, l)
  for from = l.from, l.from + l.n - 1, most do
    redis.call(command, key, unpack(ARGV, from, math.min(from + most, l.from + l.n) - 1))
  end
end
local function scoreless(key, from, n, step)
  local members = {}
  for i = from, from + n - 1, step do
    members[#members + 1] = '0'
    members[#members + 1] = ARGV[i]
    if #members >= most or i + step > from + n - 1 then
      redis.call('ZADD', key, unpack(members))
      members = {}
    end
  end
end

local documents = tonumber(meta[6])
for _, c in ipairs(collections) do
  for from = c.written, c.written + 2 * c.writes - 1, most do
    local to = math.min(from + most, c.written + 2 * c.writes) - 1
    if redis.call('HSET', c.documents, unpack(ARGV, from, to)) > 0 then
      scoreless(c.index, from, to - from + 1, 2)
    end
  end
  each('HDEL', c.documents, {from = c.deleted, n = c.deletions})
  each('ZREM', c.index, {from = c.deleted, n = c.deletions})
  local now = redis.call('HLEN', c.documents)
  if now > 0 then
    redis.call('HSET', KEYS[2], c.name, now)
  else
    redis.call('HDEL', KEYS[2], c.name)
  end
  documents = documents + now - c.before
end
scoreless(KEYS[4], queued.from, queued.n, 1)
each('ZREM', KEYS[4], dequeued)
each('HSET', KEYS[3], sequences)
each('HDEL', KEYS[3], ended)
each('HSET', KEYS[5], answers)
if ARGV[6] ~= '' and ARGV[6] ~= meta[10] then
  redis.call('HSET', KEYS[6], ARGV[4], ARGV[7])
  redis.call('HSET', KEYS[1], 'digest', ARGV[6])
end
if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 'anchor', ARGV[8]) end

local state = meta[5]
if tonumber(ARGV[5]) >= tonumber(meta[9]) then state = 'ready' end
redis.call('HSET', KEYS[1], 'serial', tostring(tonumber(ARGV[3]) + 1), 'position', ARGV[5], 'documents', documents,
  'sequences', redis.call('HLEN', KEYS[3]), 'waiting', redis.call('ZCARD', KEYS[4]), 'updated', ARGV[9], 'state', state)
return {'ok', state}
