/** Consumer groups with very many pending entries, and streams of as many entries. */
import type { Argument } from '../../cmd/redis/index.ts';
import { type AbuseRow, type Abuser, replyText } from './abuser.ts';

const MILLION = 1_000_000;
const STREAM = 'stream';
const GROUP = 'group';
/** Entries that a call of XREADGROUP gives at most. */
const READ_AT_ONCE = 500;
const CONSUMERS = 3;

/** Ids are 1-0, 2-0 and so on, so that nobody has to remember them. */
const idAt = (at: number): string => `${at + 1}-0`;

/** Calls that are under way at a time: what a change of leader costs is done again. */
const UNDER_WAY = 2_000;

/** The only number in a reply of XPENDING that says how much is pending. */
const pendingOf = (reply: unknown): number => (Array.isArray(reply) ? Number(reply[0]) : 0);

/** A stream of a million entries, each of them pending of one of three consumers. Made once. */
async function prepare(abuser: Abuser): Promise<void> {
  const total = abuser.many(MILLION);
  if ((await abuser.call('XLEN', STREAM)) !== 0) return;
  for (let from = 0; from < total; from += UNDER_WAY) {
    const count = Math.min(UNDER_WAY, total - from);
    await abuser.pipeline(count, (at) => ['XADD', STREAM, idAt(from + at), 'field', `value of ${from + at}`]);
  }
  await abuser.call('XGROUP', 'CREATE', STREAM, GROUP, '0');
  const entries = (await abuser.call('XLEN', STREAM)) as number;
  for (let round = 0; pendingOf(await abuser.call('XPENDING', STREAM, GROUP)) < entries; round++) {
    await abuser.pipeline(Math.ceil(UNDER_WAY / READ_AT_ONCE), (at) => {
      const consumer = `consumer${(round + at) % CONSUMERS}`;
      return ['XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', READ_AT_ONCE, 'STREAMS', STREAM, '>'];
    });
  }
}

/** Ids that lie all over the stream. @param share which of several sets that have nothing in common */
function spread(abuser: Abuser, count: number, share: number): string[] {
  const total = abuser.many(MILLION);
  const gap = Math.max(1, Math.floor(total / count));
  return Array.from({ length: Math.min(count, total) }, (_, at) => idAt((at * gap + share) % total));
}

const row = (name: string, what: string, make: (abuser: Abuser) => Argument[]): AbuseRow => ({
  name,
  what,
  prepare,
  act: async (abuser) => replyText(await abuser.send(make(abuser))),
});

/** Of a stream that all rows share; what reads comes before what takes away. */
export const STREAM_ROWS: readonly AbuseRow[] = [
  row('xpending', 'XPENDING of 100,000 of a million', () => ['XPENDING', STREAM, GROUP, '-', '+', 100_000]),
  row('xpending-all', 'XPENDING of a million', () => ['XPENDING', STREAM, GROUP]),
  row('xinfo', 'XINFO STREAM FULL COUNT 0', () => ['XINFO', 'STREAM', STREAM, 'FULL', 'COUNT', 0]),
  row('xrange', 'XRANGE of 100,000', () => ['XRANGE', STREAM, '-', '+', 'COUNT', 100_000]),
  row('xclaim', 'XCLAIM of 1,000 ids all over a million pending', (abuser) => [
    ...['XCLAIM', STREAM, GROUP, 'claimant', 0],
    ...spread(abuser, 1_000, 0),
  ]),
  row('xclaim-many', 'XCLAIM of 10,000 ids all over a million pending', (abuser) => [
    ...['XCLAIM', STREAM, GROUP, 'claimant', 0],
    ...spread(abuser, 10_000, 1),
  ]),
  {
    name: 'xautoclaim',
    what: 'XAUTOCLAIM COUNT 200, a hundred times',
    prepare,
    act: async (abuser) => {
      let next = '0-0';
      let claimed = 0;
      for (let round = 0; round < 100; round++) {
        const reply = await abuser.call('XAUTOCLAIM', STREAM, GROUP, 'other', 0, next, 'COUNT', 200);
        if (!Array.isArray(reply)) return replyText(reply);
        const [from, entries] = reply as [Buffer, unknown[]];
        next = from.toString();
        claimed += entries.length;
      }
      return `${claimed} claimed`;
    },
  },
  row('xack', 'XACK of 10,000 ids all over a million pending', (abuser) => [
    ...['XACK', STREAM, GROUP],
    ...spread(abuser, 10_000, 2),
  ]),
  row('xack-huge', 'XACK of 100,000 ids all over a million pending', (abuser) => [
    ...['XACK', STREAM, GROUP],
    ...spread(abuser, 100_000, 3),
  ]),
  row('xdel', 'XDEL of 10,000 ids all over a million', (abuser) => ['XDEL', STREAM, ...spread(abuser, 10_000, 4)]),
  row('xtrim', 'XTRIM to half of its length', (abuser) => ['XTRIM', STREAM, 'MAXLEN', abuser.many(MILLION) / 2]),
  row('xgroup-destroy', 'XGROUP DESTROY', () => ['XGROUP', 'DESTROY', STREAM, GROUP]),
];
