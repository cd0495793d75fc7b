package storage

import (
	"encoding/binary"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// walHeader is what SQLite keeps about the newest commit in the memory that all processes share
// which have the file open (https://www.sqlite.org/walformat.html, The WAL-Index Header). Every
// commit changes it before the commit is acknowledged.
type walHeader [48]byte

// changes counts commits.
func (h walHeader) changes() uint32 { return binary.NativeEndian.Uint32(h[8:]) }

// cache remembers rows that were read or written lately, with the records that were decoded from
// them. An answer from it is never older than the database: a commit of this process updates what
// it changed before it is acknowledged. A commit of another process shows in the header, which is
// read for every question; the cache is then emptied before anything is answered from it.
//
// A reader first asks with open whether the cache is good. It is answered from the cache as long as
// that is as it was then, and reads from the database otherwise. What it has read it puts in only
// if nothing of the table has changed since it asked.
type cache struct {
	header *headerFile // nil for a store in memory, which no other process has
	alone  bool        // the store is in memory

	mu      sync.Mutex
	known   walHeader // the commit that everything remembered belongs to
	writing bool      // a commit of this process is under way, which changes the header
	tables  map[*Table]*cachedTable
	entries generations
}

// cachedTable counts the changes of one table, as far as this process has noticed them. An answer
// to List is good while the table is as it was. A row is good since everyRow at least: a change of
// known rows replaces or removes these, and a change of unknown ones moves everyRow.
type cachedTable struct{ changes, everyRow uint64 }

// cacheKey names a row by its table and ID, or an answer to List by the query.
type cacheKey struct {
	table *Table
	of    string
	list  bool
}

// cacheEntry is a row, without Doc if there is no such record, or the rows of an answer to List.
type cacheEntry struct {
	row     Row
	rows    []Row
	changes uint64 // of the table when it was put in
	weight  int
}

// Bounds of what is remembered. The weight of a row is an estimate of its bytes in memory.
const (
	cachedWeight = 4 << 20           // at least that much of all tables is kept, at most twice as much
	entryWeight  = cachedWeight / 16 // of one entry; what weighs more is not remembered
	maxListed    = 100               // rows in an answer to List
	maxQueryKey  = 300               // bytes of the value that a query asks for
	maxTouched   = 2048              // rows of one write; one that changes more forgets its tables
)

// weigh estimates the bytes of a row with its decoded record, which takes about twice the document.
func weigh(row Row) int { return 300 + len(row.ID) + 3*len(row.Doc) }

func newCache(h *headerFile, alone bool) *cache {
	c := &cache{header: h, alone: alone, tables: map[*Table]*cachedTable{}}
	for _, t := range tables {
		if t.Cached {
			c.tables[t] = &cachedTable{}
		}
	}
	c.known, _ = h.read()
	return c
}

// moment is a state of the cache that a reader has found good. The zero moment is not good: the
// reader asks the database.
type moment struct {
	good  bool
	known walHeader
}

// open reports whether the cache may be answered from now.
func (c *cache) open() moment {
	if c.alone {
		return moment{good: true}
	}
	now, ok := c.header.read()
	if !ok {
		return moment{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now != c.known {
		if c.writing {
			return moment{} // the change may be that of this process; the writer will find out
		}
		// The writer may have changed both between the question and the lock.
		if now, ok = c.header.read(); !ok {
			return moment{}
		}
		if now != c.known {
			c.forget(now)
		}
	}
	return moment{true, now}
}

// still reports whether no commit was made since the moment.
func (c *cache) still(m moment) bool {
	if !m.good || c.alone {
		return m.good
	}
	now, ok := c.header.read()
	return ok && now == m.known
}

// forget takes out everything, because another process has changed the database.
func (c *cache) forget(now walHeader) {
	c.known = now
	for _, t := range c.tables {
		t.changes++
	}
	c.entries = generations{}
}

// row returns what is remembered of a record. Where ok is false, changes is for put.
func (c *cache) row(m moment, t *Table, id string) (row Row, ok bool, changes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ct := c.tables[t]
	if ct == nil || !m.good || m.known != c.known {
		return Row{}, false, 0
	}
	e, ok := c.entries.get(cacheKey{t, id, false})
	return e.row, ok && e.changes >= ct.everyRow, ct.changes
}

// put remembers a row that was read after row had returned changes; the zero Row for a record that
// does not exist.
func (c *cache) put(m moment, t *Table, id string, row Row, changes uint64) {
	c.add(m, cacheKey{t, id, false}, cacheEntry{row: row, changes: changes, weight: weigh(row)})
}

// list is row for an answer to List.
func (c *cache) list(m moment, t *Table, query string) (rows []Row, ok bool, changes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ct := c.tables[t]
	if ct == nil || !m.good || m.known != c.known {
		return nil, false, 0
	}
	e, ok := c.entries.get(cacheKey{t, query, true})
	return e.rows, ok && e.changes == ct.changes, ct.changes
}

// putList is put for an answer to List.
func (c *cache) putList(m moment, t *Table, query string, rows []Row, changes uint64) {
	e := cacheEntry{rows: rows, changes: changes, weight: 300 + len(query)}
	for _, row := range rows {
		e.weight += weigh(row)
	}
	c.add(m, cacheKey{t, query, true}, e)
}

func (c *cache) add(m moment, key cacheKey, e cacheEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ct := c.tables[key.table]; ct != nil && m.good && ct.changes == e.changes && c.known == m.known {
		c.entries.put(key, e)
	}
}

// begin is called by the writer when it has the lock of the database, before it changes anything.
func (c *cache) begin() (before walHeader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = true
	if c.alone {
		return before
	}
	before, ok := c.header.read()
	if !ok || before != c.known {
		c.forget(before)
	}
	return before
}

// end is called by the writer after its commit, and before any write of it is acknowledged.
// committed is false when the transaction was undone, or when nobody knows what became of it.
func (c *cache) end(before walHeader, batch []*write, committed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	for _, w := range batch {
		for _, t := range w.touched {
			if ct := c.tables[t.table]; ct != nil {
				c.settle(ct, t, committed && w.err == nil)
			}
		}
	}
	if c.alone {
		if !committed {
			c.forget(before)
		}
		return
	}
	now, ok := c.header.read()
	switch {
	case ok && now == before:
		// Nothing was written, or what was has been undone.
	case ok && committed && now.changes() == before.changes()+1:
		c.known = now // the one commit since before is this
	default:
		c.forget(now)
	}
}

// settle makes the cache agree with what a write has done to a row. written is false if the write
// failed: nothing of it stays then, and nothing of it is remembered.
func (c *cache) settle(ct *cachedTable, t touch, written bool) {
	ct.changes++
	key := cacheKey{t.table, t.id, false}
	switch {
	case t.all:
		ct.everyRow = ct.changes
	case written && t.row.Doc != nil:
		c.entries.put(key, cacheEntry{row: t.row, changes: ct.changes, weight: weigh(t.row)})
	default:
		c.entries.remove(key)
	}
}

// touch is what a write has done to a row of a table that is remembered.
type touch struct {
	table *Table
	id    string
	row   Row  // what it is now; without Doc if that is to be read again
	all   bool // rows whose IDs are not known
}

// touch notes that the current write has changed a row. row is what it is now, without Doc if that
// is to be read again.
func (c *conn) touch(t *Table, id string, row Row) {
	if !t.Cached {
		return
	}
	if len(c.touched) >= maxTouched {
		c.touchAll(t)
		return
	}
	row.record, row.held = nil, &held{} // what the caller decoded belongs to the caller
	c.touched = append(c.touched, touch{table: t, id: id, row: row})
}

// touchAll notes that the current write has changed rows whose IDs are not known.
func (c *conn) touchAll(t *Table) {
	if n := len(c.touched); t.Cached && (n == 0 || c.touched[n-1].table != t || !c.touched[n-1].all) {
		c.touched = append(c.touched, touch{table: t, all: true})
	}
}

// generations is a map that forgets what nobody has asked for lately: when the young entries weigh
// cachedWeight, they become the old ones, and those that were old are forgotten. The zero value is
// empty.
type generations struct {
	young, old map[cacheKey]cacheEntry
	weight     int // of the young
}

func (g *generations) get(key cacheKey) (e cacheEntry, ok bool) {
	if e, ok = g.young[key]; ok {
		return e, true
	}
	if e, ok = g.old[key]; ok {
		g.put(key, e)
	}
	return e, ok
}

func (g *generations) put(key cacheKey, e cacheEntry) {
	g.remove(key)
	if e.weight > entryWeight {
		return
	}
	if g.young == nil || g.weight >= cachedWeight {
		g.young, g.old, g.weight = make(map[cacheKey]cacheEntry), g.young, 0
	}
	g.young[key] = e
	g.weight += e.weight
}

func (g *generations) remove(key cacheKey) {
	if e, ok := g.young[key]; ok {
		g.weight -= e.weight
		delete(g.young, key)
	}
	delete(g.old, key)
}

// held is the record that was decoded from a row. Everybody who has the row shares it.
type held struct{ record atomic.Value }

// queryKey returns a text that is the same for equal queries only. ok is false for a query whose
// answer is not worth remembering.
func queryKey(q Query) (key string, ok bool) {
	if q.After != nil || q.UpTo != nil || len(q.Where) > 1 {
		return "", false
	}
	for _, m := range q.Where {
		text, isText := m.Value.(string)
		if !isText || m.Or != "" || m.Prefix || len(text) > maxQueryKey {
			return "", false
		}
		key = m.Field + "=" + text + "\x00"
	}
	return key + strings.Join(q.Order, ",") + "\x00" + strconv.Itoa(q.Limit), true
}
