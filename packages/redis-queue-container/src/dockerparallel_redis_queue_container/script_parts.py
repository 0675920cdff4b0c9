"""The Lua functions that the scripts of the queue share; see ``scripts.py``.

A record, as results travel in, is the length of a task's id in one byte, the id, the outcome.
"""

from __future__ import annotations

BASE = """
local p = KEYS[1]
-- Set by the scripts that go on at full memory.
local full = false

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function id_of(record) return string.sub(record, 2, string.byte(record) + 1) end

local function mailbox_of(id) return string.match(id, '^(.*)%.') or '' end

-- The job that a mailbox belongs to; nil where it is a session's own.
local function job_of(mailbox) return string.match(mailbox, '^@(.*)$') end

-- Whether anybody can still fetch what comes into a mailbox.
local known = {}
local function is_wanted(mailbox)
  if known[mailbox] == nil then
    local job = job_of(mailbox)
    local key = p .. (job and 'job:' .. job or 'client:' .. mailbox)
    known[mailbox] = redis.call('EXISTS', key) == 1
  end
  return known[mailbox]
end

local function keep_job(job, keep_s)
  for _, name in ipairs({'jobs', 'job:' .. job, 'results:@' .. job, 'parts:@' .. job,
                           'numbers:@' .. job}) do
    redis.call('EXPIRE', p .. name, keep_s)
  end
end

-- How long tasks take now, by the worker that was heard of last: how many workers are worth waking.
local function note_pace(us)
  if us > 0 then redis.call('HSET', p .. 'counts', 'pace_us', us, 'pace_at', now_ms()) end
end

-- Lua passes at most some thousand values to a function.
local function in_parts(items, action)
  for start = 1, #items, 1000 do
    action(unpack(items, start, math.min(start + 999, #items)))
  end
end
"""

FORGET = """
-- Remove all that is kept of tasks, the blobs that no other task needs included.
local function forget(ids)
  if #ids == 0 then return end
  for _, name in ipairs({'payloads', 'owners', 'attempts'}) do
    in_parts(ids, function(...) redis.call('HDEL', p .. name, ...) end)
  end
  if redis.call('EXISTS', p .. 'needs') == 0 then return end
  for _, id in ipairs(ids) do
    local names = redis.call('HGET', p .. 'needs', id)
    if names then
      redis.call('HDEL', p .. 'needs', id)
      for name in string.gmatch(names, '%S+') do
        if redis.call('HINCRBY', p .. 'uses', name, -1) <= 0 then
          redis.call('HDEL', p .. 'uses', name)
          -- What tasks have shared is likely to be needed again at once: it need not be sent anew.
          if redis.call('EXISTS', p .. 'again:' .. name) == 1 and not full then
            redis.call('EXPIRE', p .. 'blob:' .. name, 10)
          else
            redis.call('UNLINK', p .. 'blob:' .. name)
          end
          redis.call('SET', p .. 'again:' .. name, '', 'EX', 10)
        end
      end
    end
  end
end
"""

DELIVER = """
-- Hand records to the clients that wait for them; dropped where nobody can fetch them any more.
local function deliver(records, keep_s)
  local boxes = {}
  for _, record in ipairs(records) do
    local mailbox = mailbox_of(id_of(record))
    local box = boxes[mailbox]
    if not box then
      box = {}
      boxes[mailbox] = box
    end
    box[#box + 1] = record
  end
  for mailbox, box in pairs(boxes) do
    if is_wanted(mailbox) then
      local job = job_of(mailbox)
      local results, signal = p .. 'results:' .. mailbox, p .. 'signal:' .. mailbox
      local length
      in_parts(box, function(...) length = redis.call('RPUSH', results, ...) end)
      if job then
        keep_job(job, keep_s)
      elseif length == #box then
        -- The client renews it while it lives.
        redis.call('EXPIRE', results, keep_s)
      end
      if redis.call('EXISTS', signal) == 0 then
        -- A small result that comes alone goes with the signal, and saves a round trip.
        local alone = (job and #box or length) == 1 and #box[1] <= 4096
        redis.call('RPUSH', signal, alone and box[1] or '')
        redis.call('EXPIRE', signal, keep_s)
      end
    else
      redis.call('UNLINK', p .. 'parts:' .. mailbox)
    end
  end
end
"""

HAND_OUT = """
-- Give each idle worker one of the tasks that wait, and wake it. Those heard of last come first,
-- since others may be dead, and a gift would wait for the end of their lease. A live worker asks
-- each second, so one that is passed over here finds what waits by itself. Waking one costs more
-- than a short task: each is to find 2 ms of work, or, where no task has ended just now and so what
-- comes may be of another kind, the first eight need not. If tasks take longer, those that hold
-- them give them back, which says so.
local function hand_out()
  if full or redis.call('EXISTS', p .. 'idle') == 0 then return end
  local now = now_ms()
  local pace_us, at = unpack(redis.call('HMGET', p .. 'counts', 'pace_us', 'pace_at'))
  local most = math.ceil(redis.call('LLEN', p .. 'tasks') * (pace_us or 2000) / 2000)
  if now - (at or 0) > 100 then most = math.max(8, most) end
  local woken = 0
  while woken < most do
    local id, payload
    repeat
      id = redis.call('LINDEX', p .. 'tasks', 0)
      if not id then return end
      payload = redis.call('HGET', p .. 'payloads', id)
      if payload and not is_wanted(mailbox_of(id)) then
        forget({id})
        payload = false
      end
      if not payload then redis.call('LPOP', p .. 'tasks') end
    until payload
    local worker, heard = unpack(redis.call('ZPOPMAX', p .. 'idle'))
    if not worker or tonumber(heard) < now - 3000 then return end
    local expiry = redis.call('ZSCORE', p .. 'leases', worker)
    if expiry and tonumber(expiry) > now then
      redis.call('LMOVE', p .. 'tasks', p .. 'claimed:' .. worker, 'LEFT', 'RIGHT')
      redis.call('HSET', p .. 'owners', id, worker)
      local attempts = redis.call('HGET', p .. 'attempts', id) or '0'
      -- A long payload is fetched by the worker's next claim: here it would be copied.
      local text = ''
      if #payload <= 65536 then text = id .. ' ' .. attempts .. ' ' .. payload end
      redis.call('RPUSH', p .. 'inbox:' .. worker, text)
      woken = woken + 1
    end
  end
end
"""

REQUEUE = """
-- Put the tasks of a worker that is gone back to the front, in their order. The blamed one has
-- used up an attempt, and fails with `died` where none is left. Those that nobody waits for any
-- more are forgotten. `blamed` is an id, '-' for none,
-- or '' where it is not known: tasks run in their order, so it was the first, and if it was not,
-- it will be: a task with an attempt used up travels alone.
local function requeue(worker, limit, keep_s, died, blamed)
  local claimed = p .. 'claimed:' .. worker
  local ids = redis.call('LRANGE', claimed, 0, -1)
  if blamed == '' then blamed = ids[1] end
  for i = #ids, 1, -1 do
    local id, attempts = ids[i], 0
    -- What it has stored and not handed in.
    redis.call('HDEL', p .. 'parts:' .. mailbox_of(id), id .. ' ' .. worker)
    if not is_wanted(mailbox_of(id)) then
      forget({id})
    elseif redis.call('HEXISTS', p .. 'payloads', id) == 1 then
      redis.call('HDEL', p .. 'owners', id)
      if id == blamed then attempts = redis.call('HINCRBY', p .. 'attempts', id, 1) end
      if attempts >= limit then
        forget({id})
        redis.call('HINCRBY', p .. 'counts', 'failed', 1)
        deliver({string.char(#id) .. id .. died}, keep_s)
      else
        redis.call('LPUSH', p .. 'tasks', id)
        redis.call('HINCRBY', p .. 'counts', 'retried', 1)
      end
    end
  end
  redis.call('DEL', claimed, p .. 'inbox:' .. worker)
  redis.call('ZREM', p .. 'idle', worker)
  redis.call('ZREM', p .. 'spare', worker)
  return #ids
end
"""
