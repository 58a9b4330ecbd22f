-- Return what a log retains after a position.
--
-- Arguments after the common ones: epoch, offset and tag of a position; number of records that are wanted or '', 0
-- for the state only; '1' if the process has the log attached.
--
-- Returns nil if there is no such log; or epoch, head, its tag, floor, ended, time, whether the range follows the
-- position, loaded; and the records: of a table, offset, row, record or nil; of other logs, offset of the last record of a
-- batch, its time, the batch.
local epoch, since, tag, limit, is_attached = ARGV[4], tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), ARGV[8] == '1'
local PIECE = 1000 -- rows per command: a call takes a limited number of arguments

-- Return true unless the server has evicted a part of the log that cannot be missed.
local function is_whole(log)
  if kind == 'last' then
    if log.head > log.floor and redis.call('EXISTS', stream) == 0 then
      log.floor, log.dropped = log.head, log.bytes
    end
  elseif kind == 'table' then
    local removed = redis.call('ZCARD', gone)
    return redis.call('HLEN', rows) == log.count and redis.call('ZCARD', order) == log.count + removed
  end
  return true
end

local function follow(log)
  if log.epoch ~= epoch then
    return false
  end
  local same = since <= log.head and has_tag(log, since, tag)
  if same == false and is_attached then
    -- A failover has lost entries. What a client says it has seen proves nothing, but a process does not lie.
    log.epoch, log.loaded = fresh, false
  end
  return same == true and (kind == 'latest' or since >= log.floor)
end

local function add_rows(reply, after, with_removed)
  local found = redis.call('ZRANGEBYSCORE', order, '(' .. after, '+inf', 'WITHSCORES')
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
    found = redis.call('XREVRANGE', stream, '+', after + 1, 'COUNT', limit)
  else
    found = redis.call('XRANGE', stream, after + 1, '+')
  end
  for _, entry in ipairs(found) do
    local offset, time, _, _, _, records = batch_of(entry)
    reply[#reply + 1] = offset
    reply[#reply + 1] = time
    reply[#reply + 1] = records
  end
end

local log = open()
if log and not is_whole(log) then
  log = nil
end
if not log then
  if not is_attached then
    return nil
  end
  log = begin()
end
local stored = log.epoch
local follows = follow(log)
if is_attached and (log.epoch ~= stored or is_due(log)) then
  save(log)
end
local after = follows and since or 0
local reply = { log.epoch, log.head, log.tag, log.floor, log.ended and 1 or 0, now, follows and 1 or 0,
  log.loaded and 1 or 0 }
if limit == 0 then
  -- Only the state is wanted.
elseif kind == 'table' then
  add_rows(reply, after, follows)
elseif kind == 'last' then
  add_batches(reply, after)
elseif log.head > after then
  reply[9], reply[10], reply[11] = log.head, now, redis.call('HGET', meta, 'batch')
end
return reply
