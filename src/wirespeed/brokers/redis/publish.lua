-- Store a batch and announce it: all of it or nothing, and only once.
--
-- Arguments after the common ones: fence, channel, writer, number of the batch; epoch, offset and tag that the process
-- has seen; '1' if the log begins again with the records, and counts as loaded then; then, of a table, rows, size, and
-- for each record its row, '1' if it is removed or '+' if it is a piece for the end of the row, and itself; of other
-- logs, number of records, their bytes, the records, entries, size and age in milliseconds or '', and '+' if they are
-- pieces for the end of the newest value.
--
-- Returns 'fenced', 'complete', or epoch, previous offset, number of records, and for a table one number per record: its
-- offset; 0 if there was no room; -1 minus the head if the row to remove did not exist; '-' if the row to grow did not
-- exist. The number of records is 0 if the newest value has no room for pieces.
local fence, channel, writer, number = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local seen_epoch, seen_offset, seen_tag = ARGV[8], tonumber(ARGV[9]), ARGV[10]
local loads = ARGV[11] == '1'
local AFTER = 12
local GRAVES = 1000 -- removed rows that a table remembers for processes that return
local TAGS = 256 -- batches of a table whose tags are remembered for them
local FORGET = 24 * 3600 * 1000 -- milliseconds after which the newest batch of a writer is forgotten

if (redis.call('GET', lease) or '') ~= fence then
  return 'fenced'
end
local log, newest = open(writer)
if newest then
  local stored, results = string.match(newest, '^(%d+) %d+ (.*)$')
  if stored == number then
    return results
  end
end
local is_complete = log and log.complete
if is_complete and not loads then
  return 'complete'
end

-- Of a table whose rows were evicted, the rest is worth nothing.
local is_new = loads or not log or (log.ended and kind ~= 'last')
  or (kind == 'table' and redis.call('HLEN', rows) ~= log.count)
local is_changed = is_new or log.ended -- in more than what changes with every batch
if is_new then
  log = begin()
  log.loaded, log.complete = loads, is_complete
elseif log.epoch == seen_epoch and (log.head < seen_offset or has_tag(log, seen_offset, seen_tag) == false) then
  log.epoch = fresh -- a failover has lost entries: their offsets must not stand for others
  log.loaded = false
  is_changed = true
end
log.ended = is_complete
local previous = log.head
local tag = writer .. '.' .. number

local function add_batch(option, threshold, count, before, records)
  local id = log.head .. '-' .. now
  if redis.call('XADD', stream, 'NOMKSTREAM', option, '~', threshold, id, 't', tag, 'n', count, 'z', before, 'b',
    records) then
    return false
  end
  redis.call('XADD', stream, id, 't', tag, 'n', count, 'z', before, 'b', records)
  return true
end

-- Drop the oldest batches that are too much, by size or by age. Readers ignore what is too much by number.
local function trim(size, age)
  if log.bytes - log.dropped <= size and (not age or now < log.look) then
    return
  end
  log.look = age and math.floor(now + age / 8) or 0
  is_changed = true
  while true do
    local entry = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    local offset, time, _, _, before = batch_of(entry)
    log.dropped = before
    if offset == log.head or (log.bytes - before <= size and not (age and now - time > age)) then
      return
    end
    redis.call('XDEL', stream, entry[1])
    log.floor = offset
  end
end

local function append(count, bytes, records, entries, size, age)
  log.head = log.head + count
  local first = math.max(log.head - entries + 1, 0)
  local is_created = add_batch('MINID', first, count, log.bytes, records)
  if is_created then -- it may have been evicted
    log.floor, log.dropped, is_changed = previous, log.bytes, true
  end
  log.bytes = log.bytes + bytes
  trim(size, age)
  return is_created
end

local function remove(row)
  local before = redis.call('HSTRLEN', rows, row)
  if before == 0 then
    return false
  end
  log.count, log.bytes, log.head = log.count - 1, log.bytes - before, log.head + 1
  redis.call('HDEL', rows, row)
  redis.call('ZADD', order, log.head, row)
  redis.call('ZADD', gone, log.head, row)
  if redis.call('ZCARD', gone) > GRAVES then
    local oldest = redis.call('ZPOPMIN', gone)
    redis.call('ZREM', order, oldest[1])
    log.floor, is_changed = tonumber(oldest[2]), true
  end
  return true
end

local function put(row, record, most, size)
  local before = redis.call('HSTRLEN', rows, row)
  if before == 0 then
    if not loads and (log.count >= most or log.bytes >= size) then -- the process has checked what it loads
      return false
    end
    log.count = log.count + 1
    redis.call('ZREM', gone, row)
  end
  log.head, log.bytes = log.head + 1, log.bytes + #record - before
  redis.call('HSET', rows, row, record)
  redis.call('ZADD', order, log.head, row)
  return true
end

-- Append a piece to a row; return 0 if there is no room, nil if there is no such row, otherwise true.
local function grow(row, piece, size)
  local record = redis.call('HGET', rows, row)
  if not record then
    return nil
  elseif log.bytes >= size then
    return 0
  end
  log.head, log.bytes = log.head + 1, log.bytes + #piece
  redis.call('HSET', rows, row, record .. piece)
  redis.call('ZADD', order, log.head, row)
  return true
end

-- Return the records that were stored, the results, and whether there may be a key that has no end yet.
local function change_rows(most, size)
  local codes, stored = {}, {}
  local is_created, had_rows = false, log.count > 0
  for at = AFTER + 2, #ARGV, 3 do
    local row, is_removal, is_piece, record = ARGV[at], ARGV[at + 1] == '1', ARGV[at + 1] == '+', ARGV[at + 2]
    local grown = is_piece and grow(row, record, size)
    if grown == true or is_removal and remove(row) or not is_removal and not is_piece and put(row, record, most, size) then
      codes[#codes + 1] = log.head
      stored[#stored + 1] = record
      is_created = is_created or is_removal
    else
      codes[#codes + 1] = is_removal and -1 - log.head or grown == nil and '-' or '0'
    end
  end
  if #stored > 0 then
    is_created = add_batch('MAXLEN', TAGS, #stored, 0, '') or is_created or not had_rows
  end
  return table.concat(stored), table.concat(codes, ' '), is_created
end

-- Return the newest value with the pieces behind it, and the number of records that were stored.
local function stand(count, records, grows, size)
  local before = grows and redis.call('HGET', meta, 'batch') or ''
  if grows and #before >= size then
    return before, 0
  end
  log.head = log.head + count
  return before .. records, count
end

local records, codes, count, is_created = nil, '', nil, is_new
local value, is_grown = nil, ''
if kind == 'table' then
  records, codes, is_created = change_rows(tonumber(ARGV[AFTER]), tonumber(ARGV[AFTER + 1]))
  count = log.head - previous
else
  count, records = tonumber(ARGV[AFTER]), ARGV[AFTER + 2]
  if kind == 'last' and count > 0 then
    is_created = append(count, tonumber(ARGV[AFTER + 1]), records, tonumber(ARGV[AFTER + 3]), tonumber(ARGV[AFTER + 4]),
      tonumber(ARGV[AFTER + 5]))
  else
    is_grown = ARGV[AFTER + 6]
    value, count = stand(count, records, is_grown == '+', tonumber(ARGV[AFTER + 4]))
  end
end
if count > 0 then
  log.tag = tag
end

local results = log.epoch .. ' ' .. previous .. ' ' .. count .. ' ' .. codes
local mark = number .. ' ' .. now .. ' ' .. results
if is_changed or is_due(log, is_created) then
  save(log, is_created)
end
if kind == 'latest' then
  redis.call('HSET', meta, 'head', log.head, 'tag', log.tag, 'w:' .. writer, mark, 'batch', value, 'grown', is_grown)
else
  redis.call('HSET', meta, 'head', log.head, 'tag', log.tag, 'w:' .. writer, mark, 'bytes', log.bytes, 'count',
    log.count)
end
if not newest and redis.call('HLEN', meta) % 32 == 0 then -- of processes that are gone
  for _, field in ipairs(redis.call('HKEYS', meta)) do
    local time = string.match(field, '^w:') and string.match(redis.call('HGET', meta, field), '^%d+ (%d+)')
    if time and now - tonumber(time) > FORGET then
      redis.call('HDEL', meta, field)
    end
  end
end
if count > 0 then
  announce(channel, log, previous, tag, records)
elseif loads then
  announce(channel, log, -1, '', '') -- continues nothing: processes read
end
return results
