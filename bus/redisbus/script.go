package redisbus

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// foundScript records the installation: how many partitions there are, and since when. It is run before everything
// else.
//
// KEYS: {prefix}:meta. ARGV: the number of partitions that this node would choose. It returns format, partitions, since.
const foundScript = `
local t = redis.call('TIME')
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'format', '1', 'partitions', ARGV[1],
    'since', string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)))
end
return redis.call('HMGET', KEYS[1], 'format', 'partitions', 'since')`

// tendScript opens a partition, proves that its stream is the one that this node knows, and forgets what is too old.
//
// An epoch begins when there is none, when the installation was founded anew, when the stream is gone, when its newest
// id was not made by the rules, and when an entry that this node has seen, or had acknowledged, is not there although
// nothing was trimmed so far, or is another one. Its first entry, epoch-0, is a marker: from then on Redis refuses
// entries of the epoch before, so that a writer that knows no better finds out.
//
// KEYS: stream, hash, samples. ARGV: since, maximal age, sampling interval (both ms), maximal length, 1 if what goes
// beyond that length is a loss to be noted, then pairs of id and tag that must be there. It returns the epoch, the
// newest id, the tag of the newest entry, and why an epoch was begun ("" if none was).
const tendScript = `
local stream, hash, samples = KEYS[1], KEYS[2], KEYS[3]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local function parse(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function tag(entry)
  local data = ''
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'id' and entry[2][i + 1] ~= '' then return entry[2][i + 1] end
    if entry[2][i] == 'data' then data = entry[2][i + 1] end
  end
  if data == '' then return '' end
  return redis.sha1hex(data)
end
local exists = redis.call('EXISTS', stream) == 1
local last = '0-0'
if exists then
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
  end
end
local lastms, lastseq = parse(last)
local known = redis.call('HGET', hash, 'epoch')
local epoch = tonumber(known or '0')
local new = math.max(now, epoch + 1, lastms + 1, tonumber(ARGV[1]))
local why = ''
for i = 6, #ARGV, 2 do new = math.max(new, parse(ARGV[i]) + 1) end
if not known then why = 'none'
elseif epoch < tonumber(ARGV[1]) then why = 'founded anew'
elseif not exists then why = 'the stream is gone'
elseif lastms ~= epoch then why = 'an id was not made by the rules'
else
  for i = 6, #ARGV, 2 do
    local ms, seq = parse(ARGV[i])
    if ms > epoch then why = 'an earlier state came back'
    elseif ms == epoch then
      local found = redis.call('XRANGE', stream, ARGV[i], ARGV[i])
      if #found == 0 then
        if seq > lastseq then why = 'the end of the stream was lost' end
      elseif tag(found[1]) ~= ARGV[i + 1] then why = 'the end of the stream was lost and written anew' end
    end
  end
end
if why ~= '' then
  redis.call('HSET', hash, 'epoch', text(new))
  if known or exists then
    redis.call('HSET', hash, 'lost', text(now))
    redis.call('XADD', stream, text(new) .. '-0', 'v', '1', 'epoch', text(new), 'after', last)
  else
    redis.call('XADD', stream, text(new) .. '-0', 'v', '1', 'epoch', text(new))
  end
  epoch, last = new, text(new) .. '-0'
end
local newest = redis.call('LINDEX', samples, -1)
if not newest or now - tonumber(string.match(newest, '^%d+')) >= tonumber(ARGV[3]) then
  redis.call('RPUSH', samples, text(now) .. ' ' .. last)
end
local cut = nil
while true do
  local oldest = redis.call('LINDEX', samples, 0)
  if not oldest or now - tonumber(string.match(oldest, '^%d+')) < tonumber(ARGV[2]) then break end
  cut = string.match(oldest, ' (.+)$')
  redis.call('LPOP', samples)
end
if cut then redis.call('XTRIM', stream, 'MINID', cut) end
local maxlen = tonumber(ARGV[4])
if redis.call('XLEN', stream) > maxlen + 200 then
  redis.call('XTRIM', stream, 'MAXLEN', '~', ARGV[4])
  if ARGV[5] == '1' then redis.call('HSET', hash, 'lost', text(now)) end
end
local entry = redis.call('XRANGE', stream, last, last)
return { text(epoch), last, entry[1] and tag(entry[1]) or '', why }`

// seen is an entry that must still be there.
type seen struct {
	at  id
	tag string
}

// tended is what tendScript returns.
type tended struct {
	epoch uint64
	last  seen
	why   string
}

// tendHash is what Redis calls tendScript once it knows it.
var tendHash = sync.OnceValue(func() string {
	sum := sha1.Sum([]byte(tendScript))
	return hex.EncodeToString(sum[:])
})

// tend is the command that runs tendScript for a partition, by its hash or, whole, with its text.
func (p *partition) tend(c rueidis.CoreClient, whole bool, since uint64, known []seen) rueidis.Completed {
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	note := "0"
	if p.number == controlNumber {
		note = "1"
	}
	args := []string{strconv.FormatUint(since, 10), ms(p.maxAge()), ms(p.maxAge() / samples), strconv.FormatInt(p.maxLen, 10), note}
	for _, s := range known {
		if s.at.epoch != 0 && (s.tag != "" || s.at.seq == 0) {
			args = append(args, s.at.String(), s.tag)
		}
	}
	if whole {
		return c.B().Eval().Script(tendScript).Numkeys(3).Key(p.stream, p.hash, p.samples).Arg(args...).Build()
	}
	return c.B().Evalsha().Sha1(tendHash()).Numkeys(3).Key(p.stream, p.hash, p.samples).Arg(args...).Build()
}

// samples is into how many parts the age limit is divided: entries live up to this fraction longer.
const samples = 64

func readTended(r rueidis.RedisResult) (t tended, err error) {
	list, err := r.AsStrSlice()
	if err != nil {
		return t, err
	}
	if len(list) != 4 {
		return t, errors.New("redis answered a script with something else")
	}
	if t.epoch, err = strconv.ParseUint(list[0], 10, 64); err != nil {
		return t, fmt.Errorf("epoch: %w", err)
	}
	if t.last.at, err = parseID(list[1]); err != nil {
		return t, err
	}
	t.last.tag, t.why = list[2], list[3]
	return t, nil
}

// found runs foundScript.
func (b *Bus) found(ctx context.Context, c rueidis.CoreClient) (since uint64, err error) {
	want := b.cfg.partitions
	if want == 0 {
		want = defaultPartitions
	}
	list, err := c.Do(ctx, c.B().Eval().Script(foundScript).Numkeys(1).Key(b.metaKey()).Arg(strconv.Itoa(want)).Build()).AsStrSlice()
	if err != nil {
		return 0, err
	}
	if len(list) != 3 {
		return 0, errors.New("redis answered a script with something else")
	}
	if list[0] != formatVersion {
		return 0, problem(fmt.Sprintf("the streams under this prefix are of format %q, this program knows %s: use another prefix", list[0], formatVersion))
	}
	n, err := strconv.Atoi(list[1])
	if err != nil || n < 1 || n > maxPartitions {
		return 0, problem("the recorded number of partitions is not a number from 1 to 1024: the key " + b.metaKey() + " was damaged")
	}
	if b.cfg.partitions != 0 && n != b.cfg.partitions {
		return 0, problem(fmt.Sprintf("partitions=%d, but %d are recorded in Redis: leave the parameter out; to change the number, stop every node, delete the key %s and start again (cursors end there)",
			b.cfg.partitions, n, b.metaKey()))
	}
	if since, err = strconv.ParseUint(list[2], 10, 64); err != nil {
		return 0, problem("the recorded time is not a number: the key " + b.metaKey() + " was damaged")
	}
	return since, b.layout(n)
}

func (b *Bus) metaKey() string { return "{" + b.cfg.prefix + "}:meta" }
