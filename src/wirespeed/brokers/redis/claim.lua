-- Take or renew the lease of a log, and note whether a process watches the log.
--
-- Keys: meta, lease, began, watched, note. Arguments: token, milliseconds of the lease, process, '1' if it watches the
-- log, '1' if the lease is only renewed, and not taken; the holder's note.
--
-- lease    STRING  token of the process that may publish
-- began    STRING  epoch and offset of the log's head when the lease was taken
-- note     STRING  '+' and the holder's note; or '-' and that of the last holder, while the lease is closed
-- watched  ZSET    process -> time until which it is known to watch the log
--
-- Returns 1 if the token holds the lease, 1 if any process watches, milliseconds that are left, epoch, offset, the note,
-- 1 if the lease is closed.
local meta, lease, began, watched, note = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local token, lifetime, process, is_watched = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4] == '1'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local holder, said = redis.call('GET', lease), redis.call('GET', note) or ''
local is_closed = string.sub(said, 1, 1) == '-'
if holder == token then
  redis.call('PEXPIRE', lease, lifetime)
  redis.call('PEXPIRE', began, lifetime)
elseif not holder and is_watched and ARGV[5] ~= '1' and not is_closed then
  local head = redis.call('HMGET', meta, 'epoch', 'head')
  holder = token
  redis.call('SET', lease, token, 'PX', lifetime)
  redis.call('SET', began, (head[1] or '') .. ' ' .. (head[2] or '0'), 'PX', lifetime)
end

if holder == token then
  if ARGV[6] ~= '' then
    redis.call('SET', note, '+' .. ARGV[6], 'PX', lifetime)
  elseif said ~= '' then
    redis.call('DEL', note)
  end
  said, is_closed = '+' .. ARGV[6], false
end

redis.call('ZREMRANGEBYSCORE', watched, '-inf', string.format('%.0f', now))
if is_watched then
  redis.call('ZADD', watched, string.format('%.0f', now + lifetime), process)
  if redis.call('PTTL', watched) < lifetime then
    redis.call('PEXPIRE', watched, lifetime)
  end
else
  redis.call('ZREM', watched, process)
end

local epoch, offset = string.match(redis.call('GET', began) or ' 0', '^(.*) (%d+)$')
local left = holder and redis.call('PTTL', lease) or is_closed and redis.call('PTTL', note) or 0
return {
  holder == token and 1 or 0, redis.call('EXISTS', watched), left, epoch, tonumber(offset), string.sub(said, 2),
  is_closed and 1 or 0,
}
