-- ARGV[7..10]: epoch, sequence and check of a position; how many entries.
-- Returns the state, a verdict ('ok', 'epoch' or 'gap'), the position's check
-- or where the gap ends, and entries.
local s = state()
local e, q, c = ARGV[7], tonumber(ARGV[8]), ARGV[9]
local known, own = knows(s, e, q, c, {KEYS[2]})
if not known then return {s, 'epoch', '', {}} end
local x = redis.call('XRANGE', KEYS[2], string.format('%.0f', q + 1), '+', 'COUNT', ARGV[10])
local first = x[1] and seqOf(x[1][1])
if first and first > s[3] then -- not ours
  return {install(s[1], s[3]), 'epoch', '', {}}
end
if q < s[3] and first ~= q + 1 then
  local to, check = s[3], s[4]
  if first then to, check = first - 1, x[1][2][2] end
  return {s, 'gap', string.format('%.0f-%s', to, check), {}}
end
return {s, 'ok', own or '0', x}
