-- Note that a process lives, and return which others do.
--
-- Keys: processes, holders. Arguments: process, milliseconds for which it lives, milliseconds for which its members
-- count.
--
-- processes  ZSET  process -> time until which it is known to live
-- holders    ZSET  process -> time until which its members count
--
-- Returns 1 if its members have counted until now, the processes that live, and those whose members count.
local process = ARGV[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

for _, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
end
local known = redis.call('ZSCORE', KEYS[2], process) and 1 or 0
for number, key in ipairs(KEYS) do
  local lifetime = tonumber(ARGV[1 + number])
  if lifetime > 0 then
    redis.call('ZADD', key, string.format('%.0f', now + lifetime), process)
  else
    redis.call('ZREM', key, process)
  end
  redis.call('PEXPIRE', key, 3600000)
end
return { known, redis.call('ZRANGE', KEYS[1], 0, -1), redis.call('ZRANGE', KEYS[2], 0, -1) }
