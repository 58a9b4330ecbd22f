-- Remove the members of processes that have died.
--
-- Key: members. Arguments: the processes. Returns the data of the members that were removed.
local dead, gone = {}, {}
for _, process in ipairs(ARGV) do
  dead[process] = true
end
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  if dead[string.match(fields[at], '^[^:]*')] then
    redis.call('HDEL', KEYS[1], fields[at])
    gone[#gone + 1] = string.match(fields[at + 1], '\n(.*)$')
  end
end
return gone
