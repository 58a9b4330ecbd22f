-- End a log. Arguments after the common ones: fence, channel. Returns 'fenced' or 'ended'.
if (redis.call('GET', lease) or '') ~= ARGV[4] then
  return 'fenced'
end
local log = open()
if log and not log.ended then
  log.ended = true
  save(log)
  announce(ARGV[5], log, log.head, '', '')
end
return 'ended'
