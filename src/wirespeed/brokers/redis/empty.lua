-- Empty a log: a new epoch begins, without records. Argument after the common ones: channel.
local log = open()
if log then
  log = begin()
  save(log, true)
  announce(ARGV[4], log, -1, '', '') -- continues nothing: processes read
end
return 'empty'
