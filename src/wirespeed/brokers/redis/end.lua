-- End a log. Arguments after the common ones: fence, channel, '1' if the log takes no more then.
--
-- Returns 'fenced', nil if there is no such log, or its epoch and head.
local fence, channel, completes = ARGV[4], ARGV[5], ARGV[6] == '1'
if (redis.call('GET', lease) or '') ~= fence then
  return 'fenced'
end
local log = open()
if not log and completes then
  log = begin()
end
if log and not log.ended then
  log.ended, log.complete = true, completes
  save(log, completes)
  announce(channel, log, log.head, '', '')
end
return log and { log.epoch, log.head }
