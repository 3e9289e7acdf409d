/** What a generation keeps of a key's versions, beside a list of objects. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { END_OF_TIME, type HlcTimestamp, hlcTimestamp } from '../../src/platform/index.ts';
import { Generation, KeptVersion, KnownKey } from '../../src/store/flush/index.ts';
import { isAbove, isSame, joined, lowerHalf, upperHalf } from '../../src/store/rows/index.ts';

const NEVER = hlcTimestamp(0n);
const NAMES = ['a', 'b', 'c'] as const;

interface Written {
  readonly commitTs: HlcTimestamp;
  readonly expireTs: HlcTimestamp;
  readonly isTombstone: boolean;
  readonly value: Buffer;
  readonly index: number;
}

const sayingOf = ({ commitTs, expireTs, isTombstone, value }: Omit<Written, 'index'>) => [
  commitTs,
  expireTs,
  isTombstone,
  Buffer.from(value),
];

/** A generation beside a list of versions a key, newest first; what was there before is of index 0. */
class Beside {
  readonly generation = new Generation();
  readonly chains = new Map<string, Written[]>();
  readonly known = new Map<string, KnownKey>();
  /** What reads have found, and what that said then. */
  readonly held: { readonly version: KeptVersion; readonly said: unknown }[] = [];
  index = 0;
  seen = { readableFrom: NEVER, seenIndex: 0 };

  constructor(isThere: readonly boolean[]) {
    for (const [at, name] of NAMES.entries()) {
      const before = this.content(0, 10 * at, false, false);
      const version = isThere[at]! ? KeptVersion.written(before, false) : undefined;
      this.known.set(name, new KnownKey(name, version));
      this.chains.set(name, version === undefined ? [] : [before]);
    }
  }

  private content(index: number, valueBytes: number, isTombstone: boolean, expires: boolean): Written {
    const commitTs = hlcTimestamp(BigInt(10 * index + 5));
    const expireTs = expires && !isTombstone ? hlcTimestamp(BigInt(10 * index + 500)) : NEVER;
    return { commitTs, expireTs, isTombstone, value: Buffer.alloc(isTombstone ? 0 : valueBytes, valueBytes), index };
  }

  write(name: string, valueBytes: number, isTombstone: boolean, expires: boolean, isSameUnit: boolean): void {
    if (!isSameUnit || this.index === 0) this.index++;
    const content = this.content(this.index, valueBytes, isTombstone, expires);
    const version = KeptVersion.written(content, false);
    const [known, chain] = [this.known.get(name)!, this.chains.get(name)!];
    if (known.generation === undefined) this.generation.add(known, version, this.index, known.newest, NEVER);
    else this.generation.overwrite(known, version, this.index);
    if (chain[0]?.index === this.index) chain.shift();
    chain.unshift(content);
  }

  trim(name: string, backTs: number, backIndex: number): void {
    const known = this.known.get(name)!;
    if (known.generation === undefined) return;
    const readableFrom = Math.max(10 * this.index + 9 - backTs, Number(this.seen.readableFrom));
    // What was let go of once is not asked for again.
    this.seen = {
      readableFrom: hlcTimestamp(BigInt(readableFrom)),
      seenIndex: Math.max(this.seen.seenIndex, this.index - backIndex),
    };
    const { readableFrom: from, seenIndex } = this.seen;
    this.generation.trim(known, this.seen);
    const chain = this.chains.get(name)!;
    const last = chain.findIndex(({ commitTs, index }) => commitTs <= from && index <= seenIndex);
    if (last !== -1) chain.length = last + 1;
  }

  private hold(version: KeptVersion): void {
    if (this.held.length < 1_000) this.held.push({ version, said: sayingOf(version) });
  }

  check(): void {
    const { readableFrom, seenIndex } = this.seen;
    let rowBytes = 0;
    for (const name of NAMES) {
      const known = this.known.get(name)!;
      const chain = this.chains.get(name)!;
      const newest = known.newest;
      assert.deepEqual(newest && sayingOf(newest), chain[0] && sayingOf(chain[0]));
      if (newest !== undefined) this.hold(newest);
      if (known.generation === undefined) continue;
      rowBytes += name.length;
      for (const { value, expireTs } of chain) rowBytes += (expireTs === NEVER ? 9 : 17) + value.length;
      for (const index of new Set([seenIndex, (seenIndex + this.index) >> 1, this.index])) {
        for (const readTs of [readableFrom, hlcTimestamp(BigInt(10 * index + 5)), END_OF_TIME]) {
          if (readTs < readableFrom) continue;
          const expected = chain.find((written) => written.commitTs <= readTs && written.index <= index);
          const found = this.generation.seen(name, readTs, index);
          assert.deepEqual(found && sayingOf(found), expected && sayingOf(expected));
          if (found !== undefined && this.held.length < 1_000)
            this.held.push({ version: found, said: sayingOf(found) });
        }
      }
    }
    assert.equal(this.generation.rowBytes, rowBytes);
  }
}

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      name: fc.constantFrom(...NAMES),
      bytes: fc.constantFrom(0, 3, 200, 1_500, 3_000),
      isTombstone: fc.boolean(),
      expires: fc.boolean(),
      isSameUnit: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('trim' as const),
      name: fc.constantFrom(...NAMES),
      backTs: fc.nat(60),
      backIndex: fc.nat(6),
    }),
  },
);

describe('a generation', () => {
  test('shows what a list of versions would, while some go and their places are used again', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.array(fc.boolean(), { minLength: NAMES.length, maxLength: NAMES.length }),
        (steps, isThere) => {
          const beside = new Beside(isThere);
          for (const one of steps) {
            if (one.kind === 'trim') beside.trim(one.name, one.backTs, one.backIndex);
            else beside.write(one.name, one.bytes, one.isTombstone, one.expires, one.isSameUnit);
            beside.check();
          }
          for (const { version, said } of beside.held) assert.deepEqual(sayingOf(version), said);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('has every version of a key that is written ten thousand times, and takes no more for it once they may go', () => {
    const generation = new Generation();
    const known = new KnownKey('hot', undefined);
    const tsOf = (index: number) => hlcTimestamp(BigInt(index));
    const write = (index: number): boolean => {
      const content = { commitTs: tsOf(index), expireTs: NEVER, isTombstone: false, value: Buffer.from(`v${index}`) };
      const version = KeptVersion.written(content, false);
      if (index > 1) return generation.overwrite(known, version, index);
      generation.add(known, version, index, undefined, NEVER);
      return false;
    };
    for (let index = 1; index <= 10_000; index++) write(index);
    for (const index of [1, 2, 31, 32, 33, 4_095, 4_096, 4_097, 10_000]) {
      assert.equal(generation.seen('hot', tsOf(index), 20_000)!.value.toString(), `v${index}`);
      assert.equal(generation.seen('hot', END_OF_TIME, index)!.value.toString(), `v${index}`);
      assert.equal(generation.versionAt('hot', tsOf(index))!.value.toString(), `v${index}`);
    }
    for (let index = 10_001; index <= 30_000; index++) {
      if (!write(index)) continue;
      generation.trim(known, { readableFrom: tsOf(index - 3), seenIndex: index });
      assert.ok(generation.bytes < 1_000, `${generation.bytes}`);
    }
    assert.ok(generation.newestOf(known.slot) < 10_010, 'records are used again');
    assert.equal(generation.seen('hot', tsOf(29_998), 30_000)!.value.toString(), 'v29998');
  });
});

test('halves of timestamps are in the order of timestamps', () => {
  const ts = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(hlcTimestamp);
  const near = fc
    .tuple(ts, fc.bigInt({ min: -2n, max: 2n }))
    .map(([one, off]) => [one, hlcTimestamp(BigInt.asUintN(64, one + off))]);
  fc.assert(
    fc.property(fc.oneof(fc.tuple(ts, ts), near), ([one, other]) => {
      const [upper, lower] = [upperHalf(one!), lowerHalf(one!)];
      assert.equal(joined(upper, lower), one);
      assert.equal(isAbove(upper, lower, other!), one! > other!);
      assert.equal(isSame(upper, lower, other!), one === other);
    }),
  );
});

describe('names of a generation', () => {
  test('are found and sorted by the first byte: a walk over some does not sort the others', () => {
    const generation = new Generation();
    const names = ['', 'a', 'ab', 'b2', 'b1', 'c', '\u00ff'];
    const content = { commitTs: hlcTimestamp(5n), expireTs: NEVER, isTombstone: false, value: Buffer.from('v') };
    for (const name of names) {
      generation.add(new KnownKey(name, undefined), KeptVersion.written(content, false), 1, undefined, NEVER);
    }
    const within = (from: string, to: string) => generation.namesWithin(from, to);
    for (const tagged of within('b', 'c')) while (tagged.sortSome(tagged.count));
    assert.deepEqual(
      within('b', 'c').map((tagged) => tagged.sortedRuns()),
      [[['b1', 'b2']], [['c']]],
    );
    assert.deepEqual(within('a', 'a\u00ff')[0]!.sortedRuns(), []);
    assert.equal(within('', '\u0100').length, 5);
    for (const name of names) assert.ok(generation.newestAt(name), JSON.stringify(name));
    for (const name of ['aa', 'd', '\u0000']) assert.equal(generation.newestAt(name), undefined);
  });
});
