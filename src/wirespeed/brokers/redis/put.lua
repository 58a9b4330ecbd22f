-- Store members of a process, and remove others.
--
-- Key: members. Arguments: process, '1' to remove all that the process has stored before, milliseconds for which
-- everything is kept; then client and member, in turns. An empty member is removed.
--
-- members  HASH  process:client -> user, a new line, data
local members, process = KEYS[1], ARGV[1] .. ':'
if ARGV[2] == '1' then
  for _, field in ipairs(redis.call('HKEYS', members)) do
    if string.sub(field, 1, #process) == process then
      redis.call('HDEL', members, field)
    end
  end
end
for at = 4, #ARGV, 2 do
  if ARGV[at + 1] == '' then
    redis.call('HDEL', members, process .. ARGV[at])
  else
    redis.call('HSET', members, process .. ARGV[at], ARGV[at + 1])
  end
end
redis.call('PEXPIRE', members, ARGV[3])
return 1
