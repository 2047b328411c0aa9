-- KEYS[4..]: a stream for each topic. ARGV[7..13]: epoch, sequence and check of
-- the position after which to read (epoch '': from the oldest), the sequence at
-- which to end, how many events, whether the newest ones, and how many bytes of
-- a topic; of each topic: name, how many events it keeps (0: all), how long (ms;
-- 0: always).
-- Returns the state, whether the position is known, and of each topic the
-- newest sequence that is gone, whether there is more, and entries.
local s = state()
if not redis.call('ZSCORE', KEYS[3], '') then s = install(s[1], s[3]) end -- the index of topics was lost
local after, stop, limit = tonumber(ARGV[8]), tonumber(ARGV[10]), tonumber(ARGV[11])
local latest, room = ARGV[12] == '1', tonumber(ARGV[13])
local now = math.floor(clock() / 1000)

local known = true
if ARGV[7] ~= '' then
  local streams = {KEYS[2]}
  for i = 4, #KEYS do streams[i - 2] = KEYS[i] end
  known = knows(s, ARGV[7], after, ARGV[9], streams)
end
if not known then after = 0 end

-- evidence returns the newest sequence that is known to be gone of a stream, the
-- newest that is there as evidence only, and whether nothing else is there.
local function evidence(key, topic, keep)
  local info = redis.pcall('XINFO', 'STREAM', key)
  if info.err then
    if not string.find(info.err, 'no such key', 1, true) then error(info) end
    local gone = tonumber(redis.call('ZSCORE', KEYS[3], topic) or 0)
    return gone, gone, true
  end
  local x = {}
  for i = 1, #info, 2 do x[info[i]] = info[i + 1] end
  if x.length == 0 then return seqOf(x['last-generated-id']), 0, true end
  local hidden = 0
  if keep > 0 and x.length > keep + 1 then
    local older = redis.call('XRANGE', key, '-', '+', 'COUNT', x.length - keep)
    hidden = seqOf(older[#older][1])
  elseif keep > 0 and x.length > keep or x['entries-added'] > x.length then
    hidden = seqOf(x['first-entry'][1])
  end
  return math.max(hidden, seqOf(x['max-deleted-entry-id'])), hidden, false
end

-- read returns the entries of a topic in (from, stop], of which those that are
-- too old are gone.
local function read(key, from, age)
  local list, bytes, aged, step = {}, 0, 0, math.min(limit, 64)
  local lo, hi = string.format('%.0f', from + 1), string.format('%.0f', stop)
  while from < stop do
    local x = latest and redis.call('XREVRANGE', key, hi, lo, 'COUNT', step) or redis.call('XRANGE', key, lo, hi, 'COUNT', step)
    for i = 1, #x do
      local id, fields = x[i][1], x[i][2]
      local content = fields[4] or ''
      if age > 0 and (tonumber(fields[2]) or now) + age <= now then
        aged = math.max(aged, seqOf(id))
        if latest then return list, false, aged end
      else
        if #list == limit or #list > 0 and bytes + #content > room then return list, true, aged end
        bytes = bytes + #content + 64
        list[#list + 1] = {id, content}
      end
    end
    if #x < step then break end
    local edge = seqOf(x[#x][1])
    if latest then hi = string.format('%.0f', edge - 1) else lo = string.format('%.0f', edge + 1) end
    if latest and edge - 1 <= from or not latest and edge >= stop then break end
  end
  return list, false, aged
end

local out = {s, known and 1 or 0}
for i = 4, #KEYS do
  local a = 14 + 3 * (i - 4)
  local gone, hidden, empty = evidence(KEYS[i], ARGV[a], tonumber(ARGV[a + 1]))
  local list, more, aged = {}, false, 0
  if not empty then list, more, aged = read(KEYS[i], math.max(after, hidden), tonumber(ARGV[a + 2])) end
  out[i - 1] = {math.max(gone, aged), more and 1 or 0, list}
end
return out
