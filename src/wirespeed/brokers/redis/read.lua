-- Return what a log retains after a position.
--
-- Arguments after the common ones: '1' for a process that has the log attached, epoch, offset and tag of its position,
-- number of records that are wanted or ''.
--
-- Returns nil if there is no such log; or epoch, head, its tag, floor, ended, time, whether the range follows the
-- position; and the records: of a table, offset, row, record or nil; of other logs, offset of the last record of a
-- batch, its time, the batch.
local is_attached, epoch, since, tag, limit = ARGV[4] == '1', ARGV[5], tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local PIECE = 1000 -- rows per command: a call takes a limited number of arguments

-- Return true if the entry at the position is the one that the process knows, false if it is another one, and nil if
-- this is not known any more.
local function is_same(log)
  if tag == '' or since == 0 then
    return true
  elseif since == log.head then
    return tag == log.tag
  elseif kind == 'latest' then
    return true -- the newest value stands for all before it
  end
  local entry = redis.call('XRANGE', stream, text(since), '+', 'COUNT', 1)[1]
  if not entry then
    return nil
  end
  local offset, count, _, stored = batch_of(entry)
  if offset - count >= since then
    return nil
  end
  return tag == stored
end

local function follow(log)
  if log.epoch ~= epoch then
    return false
  end
  local same = since <= log.head and is_same(log)
  if same == false and is_attached then
    -- A failover has lost entries. What a client says it has seen proves nothing, but a process does not lie.
    log.epoch = fresh
    save(log)
  end
  return same == true and (kind == 'latest' or since >= log.floor)
end

local function add_rows(reply, after, with_removed)
  local found = redis.call('ZRANGEBYSCORE', order, '(' .. text(after), '+inf', 'WITHSCORES')
  for first = 1, #found, 2 * PIECE do
    local names = {}
    for at = first, math.min(first + 2 * PIECE - 1, #found), 2 do
      names[#names + 1] = found[at]
    end
    for at, record in ipairs(redis.call('HMGET', rows, unpack(names))) do
      if record or with_removed then
        reply[#reply + 1] = tonumber(found[first + 2 * at - 1])
        reply[#reply + 1] = names[at]
        reply[#reply + 1] = record
      end
    end
  end
end

local function add_batches(reply, after)
  local found
  if limit then
    found = redis.call('XREVRANGE', stream, '+', text(after + 1), 'COUNT', limit)
  else
    found = redis.call('XRANGE', stream, text(after + 1), '+')
  end
  for _, entry in ipairs(found) do
    local offset, _, time, _, records = batch_of(entry)
    reply[#reply + 1] = offset
    reply[#reply + 1] = time
    reply[#reply + 1] = records
  end
end

local log = open()
if not log then
  if not is_attached then
    return nil
  end
  log = begin()
  save(log)
end
local follows = follow(log)
if is_attached then
  keep()
end
local after = follows and since or 0
local reply = { log.epoch, log.head, log.tag, log.floor, log.ended and 1 or 0, now, follows and 1 or 0 }
if kind == 'table' then
  add_rows(reply, after, follows)
elseif kind == 'last' then
  add_batches(reply, after)
elseif log.head > after then
  reply[8], reply[9], reply[10] = log.head, now, redis.call('HGET', meta, 'batch')
end
return reply
