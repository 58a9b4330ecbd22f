-- Free the lease of a log, and forget that a process watches the log.
--
-- Keys: the keys of the log, began, watched, note. Arguments: token, process, '1' to drop the log, unless another
-- process watches it; channel; a note, milliseconds for which it closes the lease. Returns 1 if the token held the lease.
local lease, began, watched, note = KEYS[2], KEYS[7], KEYS[8], KEYS[9]
redis.call('ZREM', watched, ARGV[2])
if redis.call('GET', lease) ~= ARGV[1] then
  return 0
end
redis.call('DEL', lease, began, note)
if tonumber(ARGV[6]) > 0 then
  redis.call('SET', note, '-' .. ARGV[5], 'PX', ARGV[6])
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if ARGV[3] == '1' and redis.call('ZCOUNT', watched, string.format('(%.0f', now), '+inf') == 0 then
  for key = 1, 6 do
    redis.call('DEL', KEYS[key])
  end
end
redis.call('SPUBLISH', ARGV[4], '\nvacant')
return 1
