-- The state of one log. This file precedes each of the scripts, which run one at a time, as a whole.
--
-- meta    HASH    what the log is, and who has published to it:
--                 epoch, head (newest offset), tag (of the head's batch), floor (offset below which entries are gone),
--                 ended ('1' if the run that published is over, '2' if the log takes no more), expiry (when the keys expire, in milliseconds; 0:
--                 never), "w:" and a writer: its newest batch, see publish.lua
--                 last: bytes (of all batches so far), dropped (of those that are gone, at least), look (when ages
--                 are looked at again)
--                 loaded ('1' if this life began with a batch that loads the log)
--                 latest: batch (the newest value and the pieces behind it), grown ('+' if there are such pieces)
--                 table: count and bytes of the rows
-- lease   STRING  token of the process that may publish; it expires by itself
-- stream  STREAM  last: the batches; the id is the offset of the last record and the time in milliseconds
--                 table: only the tags of the newest batches
-- rows    HASH    row -> record
-- order   ZSET    row -> offset of its last change, removed rows included
-- gone    ZSET    removed row -> offset
--
-- Each log has only the keys that its kind needs. All but the lease expire in the same millisecond.
--
-- Numbers are written without an exponent up to 10^14 in Lua's strings, and up to 10^17 as arguments of commands.
local meta, lease, stream, rows, order, gone = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local kind, fresh, lifetime = ARGV[1], ARGV[2], tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Return a log without entries, in place of one that is gone. Writers are remembered: they may send a batch again.
local function begin()
  redis.call('HDEL', meta, 'batch', 'grown')
  for at = 3, #KEYS do
    redis.call('DEL', KEYS[at])
  end
  return {
    epoch = fresh, head = 0, tag = '', floor = 0, ended = false, complete = false, expiry = -1, bytes = 0, dropped = 0,
    look = 0, count = 0, loaded = false,
  }
end

-- Return the log, or nil if there is none; and the newest batch of a writer.
local function open(writer)
  local field = redis.call('HMGET', meta, 'epoch', 'head', 'tag', 'floor', 'ended', 'expiry', 'bytes', 'dropped',
    'look', 'count', 'loaded', 'w:' .. (writer or ''))
  if not field[1] then
    return nil, field[12]
  end
  return {
    epoch = field[1], head = tonumber(field[2]), tag = field[3], floor = tonumber(field[4]), ended = field[5] ~= '0',
    complete = field[5] == '2',
    expiry = tonumber(field[6]), bytes = tonumber(field[7]), dropped = tonumber(field[8]), look = tonumber(field[9]),
    count = tonumber(field[10]), loaded = field[11] == '1',
  }, field[12]
end

-- Return true if the keys do not expire when they should: later than the lifetime from now on, but not much later, so
-- that most publications do not change it. A key that is new has no end yet.
local function is_due(log, has_new_key)
  if has_new_key or log.expiry == -1 then
    return true
  elseif log.complete then
    return false -- its time counts from its end
  elseif not lifetime then
    return log.expiry ~= 0
  end
  local left = log.expiry - now
  return left < lifetime or left > lifetime * 1.5
end

-- Store the log; let its keys live long enough.
local function save(log, has_new_key)
  local is_late = is_due(log, has_new_key)
  if is_late then
    log.expiry = lifetime and math.floor(now + lifetime * (log.complete and 1 or 1.25)) or 0
  end
  redis.call('HSET', meta, 'epoch', log.epoch, 'head', log.head, 'tag', log.tag, 'floor', log.floor, 'ended',
    log.complete and '2' or log.ended and '1' or '0', 'expiry', log.expiry, 'bytes', log.bytes, 'dropped', log.dropped,
    'look', log.look, 'count', log.count, 'loaded', log.loaded and '1' or '0')
  for at = 1, is_late and #KEYS or 0 do
    if KEYS[at] == lease then
      -- It has an end of its own.
    elseif lifetime then
      redis.call('PEXPIREAT', KEYS[at], log.expiry)
    else
      redis.call('PERSIST', KEYS[at])
    end
  end
end

local function announce(channel, log, previous, tag, records)
  redis.call('SPUBLISH', channel, log.epoch .. ' ' .. previous .. ' ' .. tag .. '\n' .. records)
end

-- Return the offset, time, tag, number of records, bytes before, and records of an entry of the stream.
local function batch_of(entry)
  local offset, time = string.match(entry[1], '^(%d+)-(%d+)$')
  local field = entry[2]
  return tonumber(offset), tonumber(time), field[2], tonumber(field[4]), tonumber(field[6]), field[8]
end

-- Return true if the entry at an offset has a tag, false if it has another one, and nil if it is not known any more.
local function has_tag(log, offset, tag)
  if tag == '' or offset == 0 then
    return true
  elseif offset == log.head then
    return tag == log.tag
  elseif kind == 'latest' then
    -- The newest value stands for all before it, but pieces do not.
    return redis.call('HGET', meta, 'grown') ~= '+' or nil
  end
  local entry = redis.call('XRANGE', stream, offset, '+', 'COUNT', 1)[1]
  if not entry then
    return nil
  end
  local last, _, stored, count = batch_of(entry)
  if last - count >= offset then
    return nil
  end
  return tag == stored
end
