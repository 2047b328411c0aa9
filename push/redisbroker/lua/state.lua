-- What every script begins with. KEYS[1..3]: state, feed, topics.
-- State of the log: e epoch, g when that began (µs), q its newest sequence, c
-- the check of that, f the floor. ARGV[1..4]: the newest e, g, q and c that the
-- caller has seen; ARGV[5..6]: the e and c of a new epoch, should one be due.

local function seqOf(id) return tonumber(string.match(id, '^%d+')) end
local function checkOf(id) return string.match(id, '%d+$') end
local function clock()
  local now = redis.call('TIME')
  return now[1] * 1000000 + now[2]
end

-- last returns the newest sequence that a stream has ever had.
local function last(key)
  local info = redis.pcall('XINFO', 'STREAM', key)
  if info.err then return 0 end
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return seqOf(info[i + 1]) end
  end
  return 0
end

-- install begins a new epoch, behind everything that there is or was: q is a
-- number that no event has. No position of the new epoch is older than it, so
-- there is no floor.
local function install(e, q)
  local newest = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')
  q = math.max(q, tonumber(ARGV[3]), last(KEYS[2]), tonumber(newest[2] or 0))
  if e or q > 0 then q = q + 1 end
  local g = math.max(clock(), tonumber(ARGV[2]) + 1)
  redis.call('HSET', KEYS[1], 'e', ARGV[5], 'g', g, 'q', q, 'c', ARGV[6], 'f', 0)
  redis.call('ZADD', KEYS[3], 0, '') -- the index of topics is whole
  return {ARGV[5], g, q, ARGV[6], 0}
end

-- differs returns whether the newest event that the caller has seen is another
-- one now.
local function differs(q, c)
  local kq, kc = tonumber(ARGV[3]), ARGV[4]
  if kq == 0 or kc == '0' then return false end
  if kq == q then return c ~= kc end
  local x = redis.call('XRANGE', KEYS[2], kq, kq)
  return x[1] and checkOf(x[1][1]) ~= kc
end

-- state returns {e, g, q, c, f}. A log that is gone, or behind what the caller
-- has seen, has lost something: from now on it is another one.
local function state()
  local s = redis.call('HMGET', KEYS[1], 'e', 'g', 'q', 'c', 'f')
  local g, q, c, f = tonumber(s[2] or 0), tonumber(s[3] or 0), s[4] or '0', tonumber(s[5] or 0)
  local kg, kq = tonumber(ARGV[2]), tonumber(ARGV[3])
  if s[1] and (g > kg or g == kg and s[1] == ARGV[1] and q >= kq and not differs(q, c)) then
    return {s[1], g, q, c, f}
  end
  return install(s[1], q)
end

-- knows returns whether (e, q, c) is a position of the log, and its check if
-- an event of one of the streams has it.
local function knows(s, e, q, c, streams)
  if e ~= s[1] or q > s[3] then return false end
  local own
  if q == s[3] then own = s[4] end
  for i = 1, #streams do
    if own or q == 0 then break end
    local x = redis.call('XRANGE', streams[i], q, q)
    if x[1] then own = checkOf(x[1][1]) end
  end
  if q > 0 and own and c ~= '0' and c ~= own then return false end
  return true, own
end
