-- Empty a log: a new epoch begins, without records. A log that was loaded still counts as loaded. Argument after the common ones: channel.
local log = open()
if log then
  local loaded = log.loaded
  log = begin()
  log.loaded = loaded
  save(log, true)
  announce(ARGV[4], log, -1, '', '') -- continues nothing: processes read
end
return 'empty'
