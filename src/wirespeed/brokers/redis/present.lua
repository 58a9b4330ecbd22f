-- Return the members that count.
--
-- Key: members. Arguments: most; then the processes whose members count.
--
-- Returns the number of clients, the number of users, the other processes that have stored members, and the data of
-- some clients.
local most, counts = tonumber(ARGV[1]), {}
for at = 2, #ARGV do
  counts[ARGV[at]] = true
end
local clients, users, user_known, others, other_known, some = 0, 0, {}, {}, {}, {}
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  local process = string.match(fields[at], '^[^:]*')
  if counts[process] then
    local user, data = string.match(fields[at + 1], '^([^\n]*)\n(.*)$')
    clients = clients + 1
    if not user_known[user] then
      user_known[user] = true
      users = users + 1
    end
    if clients <= most then
      some[clients] = data
    end
  elseif not other_known[process] then
    other_known[process] = true
    others[#others + 1] = process
  end
end
return { clients, users, others, some }
