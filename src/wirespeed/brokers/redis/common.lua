-- The state of one log. This file precedes each of the scripts, which run one at a time, as a whole.
--
-- meta     HASH    epoch, head, tag of the head, floor, count and bytes of what is retained, ended; of a log of the
--                  newest value, its newest batch
-- stream   STREAM  a batch per entry, with the offset of its last record as its id; of a table, only the newest tags
-- rows     HASH    row -> record
-- order    ZSET    row -> offset of its last change, removed rows included
-- gone     ZSET    removed row -> offset
-- writers  HASH    writer -> its newest batch, its results, and the time
-- lease    STRING  token of the process that may publish
local meta, stream, rows, order, gone, writers, lease =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local kind, fresh, lifetime = ARGV[1], ARGV[2], ARGV[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Large numbers would be written as 1e+15.
local function text(number)
  return string.format('%.0f', number)
end

local function begin()
  redis.call('DEL', meta, stream, rows, order, gone)
  return { epoch = fresh, head = 0, tag = '', floor = 0, count = 0, bytes = 0, ended = false }
end

-- Return the log; nil if there is none, or if the server has evicted a part of it that cannot be missed.
local function open()
  local field = redis.call('HMGET', meta, 'epoch', 'head', 'tag', 'floor', 'count', 'bytes', 'ended')
  if not field[1] then
    return nil
  end
  local log = {
    epoch = field[1], head = tonumber(field[2]), tag = field[3], floor = tonumber(field[4]),
    count = tonumber(field[5]), bytes = tonumber(field[6]), ended = field[7] == '1',
  }
  if kind == 'last' then
    if log.count > 0 and redis.call('EXISTS', stream) == 0 then
      log.count, log.bytes, log.floor = 0, 0, log.head
    end
  elseif kind == 'table' then
    local removed = redis.call('ZCARD', gone)
    if redis.call('HLEN', rows) ~= log.count or redis.call('ZCARD', order) ~= log.count + removed then
      return nil
    end
  end
  return log
end

-- All keys of a log expire in the same millisecond, so that none outlives the others.
local function keep()
  local keys = { meta, writers }
  if kind ~= 'latest' then
    keys[3] = stream
  end
  if kind == 'table' then
    keys[4], keys[5], keys[6] = rows, order, gone
  end
  for _, key in ipairs(keys) do
    if lifetime == '' then
      redis.call('PERSIST', key)
    else
      redis.call('PEXPIRE', key, lifetime)
    end
  end
end

local function save(log)
  redis.call('HSET', meta, 'epoch', log.epoch, 'head', text(log.head), 'tag', log.tag, 'floor', text(log.floor),
    'count', text(log.count), 'bytes', text(log.bytes), 'ended', log.ended and '1' or '0')
end

local function announce(channel, log, previous, tag, records)
  redis.call('PUBLISH', channel, log.epoch .. ' ' .. text(previous) .. ' ' .. tag .. '\n' .. records)
end

-- Return the offset, number of records, time, tag and records of an entry of the stream.
local function batch_of(entry)
  local field = entry[2]
  return tonumber(string.match(entry[1], '^%d+')), tonumber(field[4]), tonumber(field[6]), field[2], field[10],
    tonumber(field[8])
end
