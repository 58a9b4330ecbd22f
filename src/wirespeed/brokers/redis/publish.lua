-- Store a batch and announce it: all of it or nothing, and only once.
--
-- Arguments after the common ones: fence, writer, number of the batch, epoch and offset that the process has seen, tag
-- of the batch, channel; then, of a table, rows, size, and for each record its row, '1' if it is removed, and itself;
-- of other logs, number of records, their bytes, the records, entries, size and age in milliseconds or ''.
--
-- Returns 'fenced', or epoch, previous offset, number of records, and for a table one number per record: its offset; 0
-- if there was no room; -1 minus the head if the row to remove did not exist.
local fence, writer, number, tag, channel = ARGV[4], ARGV[5], ARGV[6], ARGV[9], ARGV[10]
local AFTER = 11
local GRAVES = 1000 -- removed rows that a table remembers for processes that return
local TAGS = 256 -- batches of a table whose tags are remembered for them
local FORGET = 24 * 3600 * 1000 -- milliseconds after which the last batch of a writer is forgotten

if (redis.call('GET', lease) or '') ~= fence then
  return 'fenced'
end
local last = redis.call('HGET', writers, writer)
if last then
  local stored, results = string.match(last, '^(%d+) %d+ (.*)$')
  if stored == number then
    return results
  end
end

local log = open()
if not log or (log.ended and kind ~= 'last') then
  log = begin()
elseif log.epoch == ARGV[7] and log.head < tonumber(ARGV[8]) then
  log.epoch = fresh -- a failover has lost entries: their offsets must not stand for others
end
log.ended = false
local previous = log.head

local function add_batch(count, size, records)
  redis.call('XADD', stream, text(log.head) .. '-0', 't', tag, 'n', count, 'm', text(now), 'z', size, 'b', records)
end

-- Drop the oldest batches, as long as enough records are left without them. Readers cut off what is too much.
local function trim(entries, size, age)
  while log.count > entries or log.bytes > size or age do
    local offset, count, time, _, _, bytes = batch_of(redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1])
    local is_over = log.count - count >= entries or log.bytes > size or (age and now - time > age)
    if offset == log.head or not is_over then
      return
    end
    redis.call('XDEL', stream, text(offset) .. '-0')
    log.count, log.bytes, log.floor = log.count - count, log.bytes - bytes, offset
  end
end

local function remove(row)
  if redis.call('HEXISTS', rows, row) == 0 then
    return false
  end
  log.bytes = log.bytes - redis.call('HSTRLEN', rows, row)
  log.count, log.head = log.count - 1, log.head + 1
  redis.call('HDEL', rows, row)
  redis.call('ZADD', order, text(log.head), row)
  redis.call('ZADD', gone, text(log.head), row)
  if redis.call('ZCARD', gone) > GRAVES then
    local oldest = redis.call('ZPOPMIN', gone)
    redis.call('ZREM', order, oldest[1])
    log.floor = tonumber(oldest[2])
  end
  return true
end

local function put(row, record, most, size)
  if redis.call('HEXISTS', rows, row) == 1 then
    log.bytes = log.bytes - redis.call('HSTRLEN', rows, row)
  elseif log.count >= most or log.bytes >= size then
    return false
  else
    log.count = log.count + 1
    redis.call('ZREM', gone, row)
  end
  log.head, log.bytes = log.head + 1, log.bytes + #record
  redis.call('HSET', rows, row, record)
  redis.call('ZADD', order, text(log.head), row)
  return true
end

local function change_rows()
  local most, size = tonumber(ARGV[AFTER]), tonumber(ARGV[AFTER + 1])
  local codes, stored = {}, {}
  for at = AFTER + 2, #ARGV, 3 do
    local row, is_removal, record = ARGV[at], ARGV[at + 1] == '1', ARGV[at + 2]
    if is_removal and remove(row) or not is_removal and put(row, record, most, size) then
      codes[#codes + 1] = text(log.head)
      stored[#stored + 1] = record
    else
      codes[#codes + 1] = is_removal and text(-1 - log.head) or '0'
    end
  end
  if #stored > 0 then
    add_batch(#stored, 0, '')
    redis.call('XTRIM', stream, 'MAXLEN', TAGS)
  end
  return table.concat(stored), table.concat(codes, ' ')
end

local records, codes, count = nil, '', nil
if kind == 'table' then
  records, codes = change_rows()
  count = log.head - previous
else
  count, records = tonumber(ARGV[AFTER]), ARGV[AFTER + 2]
  log.head = log.head + count
  if kind == 'last' then
    log.count, log.bytes = log.count + count, log.bytes + tonumber(ARGV[AFTER + 1])
    add_batch(count, ARGV[AFTER + 1], records)
    trim(tonumber(ARGV[AFTER + 3]), tonumber(ARGV[AFTER + 4]), tonumber(ARGV[AFTER + 5]))
  else
    redis.call('HSET', meta, 'batch', records)
  end
end
if count > 0 then
  log.tag = tag
end
save(log)

local results = log.epoch .. ' ' .. text(previous) .. ' ' .. text(count) .. ' ' .. codes
local is_new = redis.call('HSET', writers, writer, number .. ' ' .. text(now) .. ' ' .. results) == 1
if is_new and redis.call('HLEN', writers) % 64 == 0 then
  local known = redis.call('HGETALL', writers)
  for at = 1, #known, 2 do
    if now - tonumber(string.match(known[at + 1], '^%d+ (%d+)')) > FORGET then
      redis.call('HDEL', writers, known[at])
    end
  end
end
keep()
if count > 0 then
  announce(channel, log, previous, tag, records)
end
return results
