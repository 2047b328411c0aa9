-- KEYS[4]: what the writer wrote last; then of each event: its topic's stream
-- and, if it has one, its idempotency key.
-- ARGV[7..9]: the number of the writer's batch, the feed's length, the time for
-- which idempotency keys live (ms); of each event: topic, check, the most
-- entries of its stream (0: no bound, -1: only the feed), content, 1 if it has
-- an idempotency key.
local batch, feedLen, idemFor = tonumber(ARGV[7]), ARGV[8], ARGV[9]
local s = state()
local e, q, c, f = s[1], s[3], s[4], s[5]
local now = math.floor(clock() / 1000)

-- The client may have sent this batch before, and not got the answer.
local again
local before = redis.call('GET', KEYS[4])
if before then
  local n, first = string.match(before, '^(%d+) (%d+)')
  if tonumber(n) > batch then return redis.error_reply('STALE a later batch of this writer is in the log') end
  if tonumber(n) == batch then again = tonumber(first) end
end
local first = q + 1

local function seen(key, stream)
  local v = redis.call('GET', key)
  if not v then return end
  local was, id = string.match(v, '^(%d+) (.*)$')
  if was == e or #redis.call('XRANGE', stream, id, id) > 0 then return id end
end

local function refused(r) return type(r) == 'table' and r.err and string.find(r.err, '^OOM') end

-- add is XADD to a stream in which nothing is newer. If that fails, somebody
-- else wrote there: then the stream begins anew.
local function add(stream, ...)
  local r = redis.pcall('XADD', stream, ...)
  if type(r) == 'table' and r.err then
    if refused(r) then error(r) end
    redis.call('DEL', stream)
    redis.call('XADD', stream, ...)
  end
end

local looked = {} -- topics that this batch has found whole
local function append(stream, topic, most, id, content)
  if most > 0 then
    add(stream, 'MAXLEN', '=', most, id, 't', now, 'd', content)
  else
    add(stream, id, 't', now, 'd', content)
  end
  if redis.call('ZADD', KEYS[3], q, topic) == 0 and not looked[topic] and redis.call('XLEN', stream) == 1 then
    -- Somebody else emptied it, and its evidence with it.
    f = q - 1
    redis.call('XSETID', stream, id, 'ENTRIESADDED', 1)
  end
  looked[topic] = true
end

local function write(id, topic, content)
  return redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', feedLen, id, 'p', c, 'n', topic, 't', now, 'd', content)
end

-- next gives an event its number, and writes it into the feed.
local function next(topic, check, content)
  local id = string.format('%.0f-%s', q + 1, check)
  local r = write(id, topic, content)
  if type(r) == 'table' and r.err then
    if refused(r) then error(r) end
    if string.find(r.err, 'equal or smaller', 1, true) then -- the state is not that of the feed
      s = install(s[1], q)
      e, q, c, f, first = s[1], s[3], s[4], s[5], s[3] + 1
      id = string.format('%.0f-%s', q + 1, check)
    else
      redis.call('DEL', KEYS[2])
    end
    r = write(id, topic, content)
    if type(r) == 'table' and r.err then error(r) end
  end
  q, c = q + 1, check
  return id
end

local out = {'', 0, 0, '', 0}
local k = 5
for i = 1, (#ARGV - 9) / 5 do
  local a = 9 + 5 * (i - 1)
  local stream, idem = KEYS[k], ARGV[a + 5] == '1' and KEYS[k + 1]
  k = k + (idem and 2 or 1)
  local topic, check, most, content = ARGV[a + 1], ARGV[a + 2], tonumber(ARGV[a + 3]), ARGV[a + 4]
  local id = idem and seen(idem, stream)
  if id then
    if again and seqOf(id) == again then again = again + 1 end
  elseif again then
    id = string.format('%.0f-%s', again, check)
    again = again + 1
  else
    id = next(topic, check, content)
    if most >= 0 then append(stream, topic, most, id, content) end
    if idem then redis.call('SET', idem, e .. ' ' .. id, 'PX', idemFor) end
  end
  out[5 + i] = id
end
if not again then
  redis.call('HSET', KEYS[1], 'q', q, 'c', c, 'f', f)
  redis.call('SET', KEYS[4], string.format('%.0f %.0f', batch, first), 'PX', 600000)
end
out[1], out[2], out[3], out[4], out[5] = s[1], s[2], q, c, f
return out
