/** Mutants of collections: each takes one rule away that keeps their rows together, or their elements apart from those before. */
import type { SimMutant } from './mutants.ts';

const HEAD = 'src/adapter/redis/bodies/rows/head.ts';
const TREE = 'src/adapter/redis/bodies/tree/counted-tree.ts';
const STREAM_GROUP = 'src/adapter/redis/bodies/stream/stream-group.ts';
const CUTS = 'src/distribution/catalog/catalog-routes.ts';

const over = (...workloads: string[]): string[] => workloads.flatMap((name) => ['--workload', name]);

export const COLLECTION_MUTANTS: readonly SimMutant[] = [
  {
    name: 'incarnation-from-time',
    breaks: 'a body takes its incarnation from the timestamp of the command that makes it',
    only: ['--no-routes', ...over('hash-fields')],
    mutations: [
      {
        file: HEAD,
        find: 'return access.random.bytes(INCARNATION_BYTES);',
        replace:
          "return Buffer.from((access as never as BodyAccess).view.ts.toString(16).padStart(2 * INCARNATION_BYTES, '0'), 'hex');",
      },
    ],
  },
  {
    name: 'head-remembered',
    breaks: 'a body takes the head of its key as it once was, and does not read it again',
    only: ['--no-routes', ...over('hash-fields')],
    mutations: [
      {
        file: HEAD,
        find: 'return value === undefined ? undefined : { head: decodeHead(value), expireTs: value.expireTs };',
        replace:
          "if (value === undefined) return undefined; const all = ((readHead as never as { all?: Map<string, Head> }).all ??= new Map()); const name = access.storageKey(userKey).toString('latin1'); const head = all.get(name) ?? decodeHead(value); if (head.form === ValueForm.Large) all.set(name, head); return { head, expireTs: value.expireTs };",
      },
    ],
  },
  {
    name: 'armed-bit-ignored',
    breaks: 'a change in place leaves the head as it is although somebody watches it',
    only: ['--no-routes', ...over('collection-bank')],
    mutations: [
      {
        file: HEAD,
        find: '(before.head.form === ValueForm.Packed || (before.head.bits & BodyBit.Armed) !== 0);',
        replace: 'before.head.form === ValueForm.Packed;',
      },
    ],
  },
  {
    name: 'joined-uncounted',
    breaks: 'a page that takes the children of its neighbour in does not count them',
    only: ['--no-routes', ...over('leaderboard'), '--duration-ms', '12000'],
    mutations: [
      {
        file: TREE,
        find: 'counts[left]! += counts.splice(left + 1, 1)[0]!;',
        replace: 'counts.splice(left + 1, 1);',
      },
    ],
  },
  {
    name: 'older-heads-forgotten',
    breaks:
      'collection takes the rows of a body away that the newest version of its head does not name, whoever still reads an older one',
    test: 'test/store/bodies.test.ts',
    mutations: [
      {
        file: 'src/store/bodies/reach.ts',
        find: 'if (this.isBoundaryPassed) return;',
        replace: 'if (!isNewest) return;',
      },
    ],
  },
  {
    name: 'cut-through-objects',
    breaks: 'a range is cut where it was asked for, also between the rows of one key',
    only: ['--routes', ...over('hash-fields', 'leaderboard')],
    mutations: [
      { file: CUTS, find: 'splitKey: rules.align(split.splitKey)', replace: 'splitKey: split.splitKey' },
      { file: CUTS, find: 'splitKey: rules.align(item.splitKey)', replace: 'splitKey: item.splitKey' },
    ],
  },
  {
    name: 'acknowledged-again',
    breaks: 'an entry that was acknowledged stays pending, and is delivered again',
    only: ['--no-routes', ...over('stream-group')],
    mutations: [
      {
        file: STREAM_GROUP,
        find: 'this.pending.remove(id);\n    this.take(entry);\n    return true;',
        replace: 'return true;',
      },
    ],
  },
  {
    name: 'delivery-of-the-group-alone',
    breaks: 'what is delivered is pending of its group and not of its consumer',
    only: ['--no-routes', ...over('stream-group')],
    mutations: [{ file: STREAM_GROUP, find: 'consumer.pending.insert(Buffer.from(id));', replace: '' }],
  },
  {
    name: 'unheld-parts',
    breaks:
      'what an operation in parts has read may be changed by others before it ends, and apply does not look at it',
    test: 'test/kv/parted-operations.test.ts',
    mutations: [
      {
        file: 'src/kv/leader/held-keys.ts',
        find: 'if (!this.isProposed) return writes.some(({ name }) => uses.has(name));',
        replace: 'if (!this.isProposed) return false;',
      },
      {
        file: 'src/kv/leader/parted-evaluation.ts',
        find: 'if (held.addRead(name)) expected.push(this.seenReads + at);',
        replace: 'held.addRead(name);',
      },
    ],
  },
  {
    name: 'expected-once',
    breaks: 'what one unit of an entry expects of a key is not expected for another unit of the entry',
    test: 'test/kv/expectations.test.ts',
    mutations: [
      {
        file: 'src/kv/leader/overlay.ts',
        find: 'if (one.versionTs === versionTs && one.unit.root() === root) return;',
        replace: 'if (one.versionTs === versionTs && root !== undefined) return;',
      },
    ],
  },
];
