/** Commands on sketches: sparse, dense, and strings that look like one. What GET says is compared, so their bytes are. PFSELFTEST takes Redis seconds. */
import fc from 'fast-check';
import { observe } from '../../../src/adapter/redis/commands/hyperloglog/element-hash.ts';
import type { SequenceGroup } from './group.ts';
import { command, key, type Words, withOptions, words } from './words.ts';

/** Elements of neighbouring registers with low counts, whose runs are joined. */
const NEIGHBOURS = Array.from({ length: 100_000 }, (_, nth) => `n${nth}`).filter((name) => {
  const { register, count } = observe(Buffer.from(name, 'latin1'));
  return register >= 200 && register < 210 && count <= 2;
});

const element = fc.oneof(
  fc.constantFrom(...NEIGHBOURS),
  fc.constantFrom('', 'a', 'b', 'foobar', '\x00', '\xff\xfe', 'x'.repeat(7), 'y'.repeat(8), 'z'.repeat(9)),
  fc.integer({ min: 0, max: 5_000 }).map((number) => `element:${number}`),
  fc.string({ unit: 'binary-ascii', maxLength: 30 }),
);

/** Many elements at once: a sparse sketch becomes dense after about 1,400 of them. */
const crowd = (most: number): Words =>
  fc
    .tuple(fc.integer({ min: 0, max: 100_000 }), fc.integer({ min: 1, max: most }))
    .map(([from, count]) => Array.from({ length: count }, (_, nth) => `element:${from + nth}`));

const header = (encoding: number, noted: string): string => `HYLL${String.fromCharCode(encoding)}\x00\x00\x00${noted}`;
const FRESH = '\x2a\x00\x00\x00\x00\x00\x00\x00';
const HUGE = '\xff\xff\xff\xff\xff\xff\xff\x7f';
const STALE = '\x00\x00\x00\x00\x00\x00\x00\x80';

const written = fc.constantFrom(
  ...[FRESH, HUGE, STALE].map((noted) => `${header(1, noted)}\x7f\xff`),
  ...[FRESH, STALE].map((noted) => `${header(0, noted)}${'\x00'.repeat(12_288)}`),
  `${header(0, STALE)}${'\x41\x10\x04'.repeat(4_096)}`,
  `${header(0, STALE)}${'\xff\xff\xff'.repeat(4_096)}`,
  `${header(1, STALE)}\x80\x7f\xfe`,
  `${header(1, STALE)}\x83\x83\x84\x40\x00\x00\x00\x7f\xf3`,
  `${header(1, STALE)}${'\x3f'.repeat(255)}\x3e\x84`,
);

/** A key whose sketch may be damaged. */
const damagedKey = fc.constant('damaged');
/** Of other lengths, of runs that are too few or too many, of an encoding that there is not. */
const damaged = fc.constantFrom(
  `${header(1, STALE)}${'\x3f'.repeat(255)}\x3e\x85`,
  `${header(1, STALE)}\x7f\xff\x80`,
  `${header(1, STALE)}\x7f\xff\x00`,
  `${header(1, STALE)}\x7f\xfe`,
  `${header(1, STALE)}\x40\x10\x84\x7f`,
  `${header(1, STALE)}\x7f`,
  header(1, STALE),
  header(1, FRESH),
  header(2, STALE),
  `${header(0, STALE)}${'\x00'.repeat(12_287)}`,
  'HYLL',
  'HYLM\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff',
);
const debugged = fc.constantFrom('ENCODING', 'decode', 'TODENSE', 'GETREG', 'junk');

const sketchCommands: Words[] = [
  withOptions(command('PFADD', key), words(element), 5),
  withOptions(command('PFADD', key), words(element), 5),
  withOptions(command('PFADD', key), crowd(60), 1),
  withOptions(command('PFADD', key), crowd(2_000), 1),
  command('PFCOUNT', key),
  command('PFCOUNT', key),
  withOptions(command('PFCOUNT', key), words(key), 3),
  withOptions(command('PFMERGE', key), words(key), 3),
  withOptions(command('PFMERGE', key), words(key), 3),
  command('PFDEBUG', debugged, key),
  command('SET', key, written),
  command('GET', key),
  command('GET', key),
  command('STRLEN', key),
  command('GETRANGE', key, fc.constantFrom('0', '14'), fc.constantFrom('15', '40')),
  command('PFADD', damagedKey, element),
  command('SET', damagedKey, fc.oneof(written, damaged)),
  command(
    'SETRANGE',
    damagedKey,
    fc.constantFrom('4', '15', '16', '17', '100', '12303'),
    fc.constantFrom('\x00', '\x01', '\x80'),
  ),
  command('APPEND', damagedKey, fc.constantFrom('\x00', 'x')),
  fc.oneof(command('PFCOUNT', damagedKey), command('PFCOUNT', key, damagedKey)),
  fc.oneof(command('PFMERGE', damagedKey, key), command('PFMERGE', key, damagedKey), command('PFMERGE', damagedKey)),
  fc.oneof(command('PFDEBUG', debugged, damagedKey), command('GET', damagedKey)),
];

export const hyperLogLogGroup: SequenceGroup = { name: 'hyperloglog', commands: sketchCommands };
