-- KEYS[4]: a topic's stream. Its newest event stays, as evidence.
state()
local newest = redis.call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', 1)
if not newest[1] then return 0 end
local n = redis.call('XTRIM', KEYS[4], 'MAXLEN', '=', 1)
local info = redis.call('XINFO', 'STREAM', KEYS[4])
for i = 1, #info, 2 do
  if info[i] == 'entries-added' then
    redis.call('XSETID', KEYS[4], newest[1][1], 'ENTRIESADDED', info[i + 1] + 1)
  end
end
return n + 1
