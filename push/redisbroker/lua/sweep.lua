-- KEYS[4..]: a stream for each topic. ARGV from 7 on: of each topic name and how
-- long it keeps events (ms). What is too old goes; of a topic that has something
-- newer the newest of that stays, as evidence.
local s = state()
local now = math.floor(clock() / 1000)
local f = s[5]

local function old(entry, age) return (tonumber(entry[2][2]) or now) + age <= now end

-- trim removes what is too old, as far as it gets in one go.
local function trim(key, age)
  local from, newest, step = '-', nil, 1
  for _ = 1, 16 do
    local x = redis.call('XRANGE', key, from, '+', 'COUNT', step)
    local n = 0
    while n < #x and old(x[n + 1], age) do n = n + 1 end
    if n > 0 then newest = x[n][1] end
    if n < step then break end
    from, step = string.format('%.0f', seqOf(newest) + 1), 64
  end
  if newest then redis.call('XTRIM', key, 'MINID', '=', newest) end
end

for i = 4, #KEYS do
  local topic, age = ARGV[7 + 2 * (i - 4)], tonumber(ARGV[8 + 2 * (i - 4)])
  local newest = redis.call('XREVRANGE', KEYS[i], '+', '-', 'COUNT', 1)
  if not newest[1] or old(newest[1], age) then
    f = math.max(f, tonumber(redis.call('ZSCORE', KEYS[3], topic) or 0))
    redis.call('DEL', KEYS[i])
    redis.call('ZREM', KEYS[3], topic)
  else
    trim(KEYS[i], age)
  end
end
if f > s[5] then redis.call('HSET', KEYS[1], 'f', f) end
return 1
