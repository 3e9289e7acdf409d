/** What is known of keys: what is buffered or held is found whatever else is read, and no call has to look at all of it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { hlcTimestamp, NEVER } from '../../src/platform/index.ts';
import { Generation, KeptVersion, KnownKey } from '../../src/store/flush/index.ts';
import { KnownKeys } from '../../src/store/reads/known-keys.ts';
import { NameMap } from '../../src/store/rows/name-map.ts';

const version = KeptVersion.written(
  { commitTs: hlcTimestamp(1n), expireTs: NEVER, isTombstone: false, value: Buffer.from('v') },
  false,
);

class Bed {
  readonly generations = [new Generation()];
  readonly known: KnownKeys;

  /** @param keys there is room for, about */
  constructor(keys = 30) {
    this.known = new KnownKeys(
      () => keys * 300,
      () => this.generations,
    );
  }

  /** As a read of a key. */
  read(name: string): KnownKey {
    const found = this.known.find(name);
    if (found !== undefined) return found;
    const fresh = new KnownKey(name, undefined);
    this.known.keep(fresh);
    return fresh;
  }

  /** As a unit that writes a key. */
  write(name: string): KnownKey {
    const known = this.read(name);
    if (known.generation === undefined) this.generations[0]!.add(known, version, 1, undefined, NEVER);
    return known;
  }

  hold(name: string): KnownKey {
    const known = this.known.find(name) ?? new KnownKey(name, undefined);
    this.known.hold(known);
    return known;
  }

  flush(): void {
    const [generation] = this.generations.splice(0, 1, new Generation());
    for (const known of generation!.list) {
      known.leave();
      this.known.count(known);
    }
  }
}

describe('what is known of keys', () => {
  test('is one for each name while something of it is buffered or held, whatever else is read', () => {
    const name = fc.integer({ min: 0, max: 400 }).map(String);
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('read' as const), name }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('write' as const, 'hold' as const), name }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('delete' as const), name }) },
      { weight: 1, arbitrary: fc.constantFrom({ kind: 'release' as const }, { kind: 'flush' as const }) },
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 200, maxLength: 2_000 }), (steps) => {
        const bed = new Bed();
        const held = new Map<string, KnownKey>();
        const buffered = new Map<string, KnownKey>();
        for (const one of steps) {
          if (one.kind === 'read') bed.read(one.name);
          else if (one.kind === 'write') buffered.set(one.name, bed.write(one.name));
          else if (one.kind === 'hold') held.set(one.name, bed.hold(one.name));
          else if (one.kind === 'delete') {
            bed.known.delete(one.name);
            if (!buffered.has(one.name)) held.delete(one.name);
          } else if (one.kind === 'release') {
            bed.known.release();
            held.clear();
          } else {
            bed.flush();
            buffered.clear();
          }
          for (const known of held.values()) assert.ok(bed.known.isHeld(known));
        }
        for (const [key, known] of [...held, ...buffered]) assert.equal(bed.known.find(key), known);
      }),
    );
  });

  test('moves on a few at a time, however much is buffered', () => {
    const bed = new Bed(1_600);
    const buffered = Array.from({ length: 8_000 }, (_, at) => bed.write(`buffered ${at}`));
    let before = buffered.map(({ age }) => age);
    let moved = 0;
    for (let at = 0; at < 3_000; at++) {
      bed.read(`read ${at}`);
      const ages = buffered.map(({ age }) => age);
      const now = ages.filter((age, key) => age !== before[key]).length;
      assert.ok(now <= 16, `${now} at once`);
      moved += now;
      before = ages;
    }
    assert.ok(moved >= buffered.length, 'all of them have moved on');
    assert.ok(buffered.every((known) => bed.known.find(known.name) === known));
  });

  test('is forgotten when it is neither used nor buffered', () => {
    const bed = new Bed();
    const first = bed.read('first');
    for (let at = 0; at < 200; at++) bed.read(`read ${at}`);
    assert.notEqual(bed.read('first'), first);
    const second = bed.write('second');
    bed.read('third');
    bed.known.clear();
    assert.equal(bed.known.find('second'), second);
    assert.equal(bed.known.find('third'), undefined);
  });
});

test('a map of names has what a map has, in parts', () => {
  const map = new NameMap<number>();
  const names = ['', 'a', 'ab', 'abc', ...Array.from({ length: 1_000 }, (_, at) => `name ${at}`)];
  for (const [at, name] of names.entries()) map.set(name, at);
  map.delete('ab');
  map.delete('absent');
  assert.deepEqual([map.get(''), map.get('a'), map.get('ab'), map.get('name 7')], [0, 1, undefined, 11]);
  assert.deepEqual(new Set(map.values()), new Set([...names.keys()].filter((at) => at !== 2)));
});
