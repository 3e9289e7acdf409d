/** Commands on streams that Redis 7.0 has, with few ids, so that they meet again. */
import fc from 'fast-check';
import type { CommandLine } from '../resp-connection.ts';
import type { SequenceGroup } from './group.ts';
import { badInteger, bulk, command, count, one, text, type Words, withOptions, words } from './words.ts';

/** Its own keys, so that streams live on beside the values of other types. */
const streamKey = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom('s', 's', 's', 't', 'key:\xff\x00') },
  { weight: 1, arbitrary: fc.constantFrom('a', 'no-stream') },
);
const small = fc.integer({ min: 0, max: 12 }).map(String);
const MAX = '18446744073709551615';
const badId = fc.constantFrom(
  ...[
    '',
    '-',
    '+',
    '$',
    '>',
    '(',
    '(1',
    'x',
    '1-',
    '-1',
    '1-x',
    '1-1-1',
    '18446744073709551616',
    '1-18446744073709551616',
  ],
  ...[' 1', '+1-01', '1--5', '1--05', '1\x00x', `${'0'.repeat(126)}1`, `${'0'.repeat(130)}1`, '*-1', '1-**', '0x1'],
);
const plainId = fc.oneof(
  { weight: 12, arbitrary: fc.tuple(small, small).map((parts) => parts.join('-')) },
  { weight: 6, arbitrary: small },
  {
    weight: 1,
    arbitrary: fc.constantFrom(`${MAX}-${MAX}`, `${MAX}-0`, MAX, `0-${MAX}`, '9007199254740993-4611686018427387905'),
  },
);
const id = fc.oneof({ weight: 20, arbitrary: plainId }, { weight: 1, arbitrary: badId });
/** Rising more often than not. */
const newId = fc.oneof(
  { weight: 12, arbitrary: fc.tuple(small, fc.nat(40)).map((parts) => parts.join('-')) },
  { weight: 10, arbitrary: small.map((ms) => `${ms}-*`) },
  { weight: 4, arbitrary: small },
  { weight: 1, arbitrary: badId.filter((each) => each !== '*') },
  { weight: 1, arbitrary: fc.constantFrom('0-0', `12-${MAX}`, `11-${MAX}`) },
);
const bound = fc.oneof(
  { weight: 8, arbitrary: id },
  { weight: 4, arbitrary: plainId.map((each) => `(${each}`) },
  { weight: 4, arbitrary: fc.constantFrom('-', '+') },
);
const field = fc.constantFrom('f', 'g', 'field', '');
const content = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('v', '1', '', 'value') },
  { weight: 1, arbitrary: fc.oneof(text, fc.constantFrom('l'.repeat(150), 'p'.repeat(600))) },
);
const pairs: Words = fc.array(fc.tuple(field, content), { minLength: 1, maxLength: 3 }).map((all) => all.flat());
const group = fc.constantFrom('g', 'g', 'g', 'h', '', 'g\x00');
const consumer = fc.constantFrom('a', 'b', 'b', 'c\x00', '');

const threshold = fc.oneof(
  words(fc.constantFrom('MAXLEN', 'maxlen'), fc.oneof(small, badInteger)),
  words(fc.constant('MAXLEN'), fc.constant('='), small),
  words(fc.constantFrom('MINID', 'minid'), id),
  words(fc.constant('MINID'), fc.constant('='), plainId),
);
/** Whole nodes go, so only all or nothing is the same on both. */
const inexact = fc.oneof(
  words(fc.constant('MAXLEN'), fc.constant('~'), fc.constantFrom('0', '1000')),
  words(fc.constant('MINID'), fc.constant('~'), fc.constantFrom('0', MAX, `${MAX}-${MAX}`)),
);
const limited = fc
  .tuple(
    inexact,
    fc.constantFrom('LIMIT', 'limit'),
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom('0', '1000') },
      { weight: 1, arbitrary: fc.constantFrom('-1', 'x') },
    ),
  )
  .map(([first, name, limit]) => [...first, name, limit]);
const trimming = fc.oneof(
  { weight: 6, arbitrary: threshold },
  { weight: 2, arbitrary: inexact },
  { weight: 2, arbitrary: limited },
  { weight: 1, arbitrary: fc.tuple(threshold, threshold).map((two) => two.flat()) },
  { weight: 1, arbitrary: one('LIMIT', 'junk') },
  { weight: 1, arbitrary: words(fc.constant('LIMIT'), fc.constantFrom('0', '5')) },
  {
    weight: 1,
    arbitrary: fc.tuple(threshold, fc.constantFrom('0', '5')).map(([first, limit]) => [...first, 'LIMIT', limit]),
  },
);
const addition = (options: fc.Arbitrary<string[]>): Words =>
  fc
    .tuple(streamKey, options, newId, pairs)
    .map(([name, some, given, parts]) => ['XADD', name, ...some, given, ...parts]);
const countOption = fc.oneof(
  { weight: 6, arbitrary: words(fc.constantFrom('COUNT', 'count'), count) },
  { weight: 1, arbitrary: one('COUNT', 'junk') },
);
const read = (name: string, options: fc.Arbitrary<string[]>, ids: fc.Arbitrary<string>): Words =>
  fc
    .tuple(
      options,
      fc.constantFrom('STREAMS', 'STREAMS', 'STREAMS', 'streams', 'junk'),
      fc.array(fc.tuple(streamKey, ids), { minLength: 1, maxLength: 3 }),
    )
    .map(([some, streams, sources]) => [
      name,
      ...some,
      streams,
      ...sources.map(([of]) => of),
      ...sources.map(([, at]) => at),
    ]);
/** Short, so that both servers are soon through. */
const block = words(fc.constantFrom('BLOCK', 'block'), fc.constantFrom('1', '1', '1', '-1', 'x', '1.5'));
const groupOption: Words = fc.oneof(
  { weight: 16, arbitrary: words(fc.constantFrom('GROUP', 'group'), group, consumer) },
  { weight: 1, arbitrary: fc.constant<string[]>([]) },
);
const groupRead = fc
  .tuple(groupOption, fc.array(fc.oneof(countOption, countOption, one('NOACK')), { maxLength: 2 }))
  .map(([own, more]) => [...own, ...more.flat()]);
const newOrOwn = fc.oneof(
  { weight: 8, arbitrary: fc.constant('>') },
  { weight: 4, arbitrary: fc.constantFrom('0', '0-0') },
  { weight: 2, arbitrary: id },
);
const ids: Words = fc.array(id, { minLength: 1, maxLength: 4 });
/** Nothing that is pending here is as old as the largest, and everything is older than nothing. */
const minIdle = fc.oneof(
  { weight: 8, arbitrary: fc.constant('0') },
  { weight: 3, arbitrary: fc.constantFrom('100000', '-5') },
  { weight: 1, arbitrary: badInteger },
);
const claimOption = fc.oneof(
  { weight: 3, arbitrary: one('FORCE', 'force', 'JUSTID', 'FORCE') },
  { weight: 2, arbitrary: words(fc.constantFrom('IDLE'), fc.constantFrom('0', '500000', '-1000000', 'x')) },
  { weight: 2, arbitrary: words(fc.constantFrom('TIME'), fc.constantFrom('5', '-5', '99999999999999', 'x')) },
  { weight: 2, arbitrary: words(fc.constantFrom('RETRYCOUNT'), fc.constantFrom('0', '3', '-1', 'x', '1000000')) },
  { weight: 2, arbitrary: words(fc.constantFrom('LASTID'), id) },
  { weight: 1, arbitrary: one('junk', 'IDLE', 'LASTID') },
);
const claim: Words = fc
  .tuple(streamKey, group, consumer, minIdle, ids, fc.array(claimOption, { maxLength: 2 }))
  .map(([name, of, who, idle, those, options]) => ['XCLAIM', name, of, who, idle, ...those, ...options.flat()]);
const autoclaimOption = fc.oneof(
  words(fc.constantFrom('COUNT', 'count'), fc.oneof(fc.integer({ min: -1, max: 9 }).map(String), badInteger)),
  one('JUSTID', 'justid', 'JUSTID', 'junk', 'COUNT'),
);
const entriesRead = words(
  fc.constantFrom('ENTRIESREAD', 'entriesread'),
  fc.oneof(fc.constantFrom('-1', '0', '-2', 'x', '9223372036854775807'), small),
);
const groupOptions = fc.oneof(entriesRead, one('MKSTREAM', 'mkstream', 'MKSTREAM', 'junk'));
const idOrLast = fc.oneof({ weight: 3, arbitrary: id }, { weight: 3, arbitrary: fc.constantFrom('$', '0') });
const sub = (name: string, of: string): Words => one(name).map(([first]) => [first!, of]);
const subcommand = (container: string, name: string, ...parts: fc.Arbitrary<string>[]): Words =>
  fc.tuple(sub(container, name), words(...parts)).map(([first, rest]) => [...first, ...rest]);
const setIdOption = fc.oneof(
  words(fc.constantFrom('ENTRIESADDED', 'entriesadded'), fc.oneof(fc.constantFrom('-1', 'x', '100'), small)),
  words(fc.constantFrom('MAXDELETEDID'), id),
  one('junk', 'ENTRIESADDED'),
);

const streamCommands: Words[] = [
  addition(fc.constant([])),
  addition(fc.constant([])),
  addition(fc.constant([])),
  addition(
    fc.oneof(
      trimming,
      one('NOMKSTREAM'),
      fc.tuple(one('nomkstream'), trimming).map((two) => two.flat()),
    ),
  ),
  addition(trimming),
  bulk(command('XADD', streamKey, newId), (n) => [`n${n}`, 'x'], 70, 120),
  withOptions(command('XRANGE', streamKey, bound, bound), countOption, 1),
  command('XRANGE', streamKey, fc.constant('-'), fc.constant('+')),
  withOptions(command('XREVRANGE', streamKey, bound, bound), countOption, 1),
  command('XLEN', streamKey),
  fc.tuple(streamKey, ids).map(([name, those]) => ['XDEL', name, ...those]),
  fc.tuple(streamKey, trimming).map(([name, how]) => ['XTRIM', name, ...how]),
  withOptions(command('XSETID', streamKey, id), setIdOption, 2),
  read('XREAD', withOptions(fc.constant([]), countOption, 1), fc.oneof(id, idOrLast)),
  read('XREAD', withOptions(fc.constant([]), fc.oneof(countOption, one('NOACK'), groupOption), 1), id),
  read('XREAD', withOptions(fc.constant([]), fc.oneof(countOption, block), 2), fc.oneof(id, fc.constant('$'))),
  read(
    'XREADGROUP',
    fc.tuple(groupRead, block).map((two) => two.flat()),
    newOrOwn,
  ),
  read('XREADGROUP', groupRead, newOrOwn),
  read('XREADGROUP', groupRead, newOrOwn),
  read('XREADGROUP', groupRead, newOrOwn),
  fc.tuple(streamKey, group, ids).map(([name, of, those]) => ['XACK', name, of, ...those]),
  claim,
  withOptions(command('XAUTOCLAIM', streamKey, group, consumer, minIdle, bound), autoclaimOption, 2),
  withOptions(
    command('XAUTOCLAIM', streamKey, group, consumer, fc.constant('0'), fc.constant('0')),
    autoclaimOption,
    1,
  ),
  command('XPENDING', streamKey, group),
  command('XPENDING', streamKey, group, bound, bound, count),
  command('XPENDING', streamKey, group, bound, bound, count, consumer),
  command('XPENDING', streamKey, group, fc.constant('IDLE'), minIdle, bound, bound, count),
  command('XPENDING', streamKey, group, fc.constant('-'), fc.constant('+'), fc.constant('20')),
  withOptions(subcommand('XGROUP', 'CREATE', streamKey, group, idOrLast), groupOptions, 3),
  subcommand('XGROUP', 'create', streamKey, group, fc.constant('0'), fc.constant('MKSTREAM')),
  withOptions(subcommand('XGROUP', 'SETID', streamKey, group, idOrLast), groupOptions, 2),
  subcommand('XGROUP', 'DESTROY', streamKey, group),
  subcommand('XGROUP', 'CREATECONSUMER', streamKey, group, consumer),
  subcommand('XGROUP', 'DELCONSUMER', streamKey, group, consumer),
  subcommand('XINFO', 'GROUPS', streamKey),
  subcommand('XINFO', 'GROUPS', streamKey),
  subcommand('XINFO', 'CONSUMERS', streamKey, group),
  withOptions(
    subcommand('XINFO', 'STREAM', streamKey),
    fc.constantFrom(['FULL'], ['full', 'COUNT', '3'], ['FULL', 'COUNT', '0'], ['junk']),
    1,
  ),
  subcommand('XINFO', 'STREAM', streamKey, fc.constant('FULL')),
  fc.tuple(fc.constantFrom('XINFO', 'XGROUP'), fc.constantFrom('HELP', 'junk')).map((line) => line),
  command('TYPE', streamKey),
  command('DUMP', streamKey),
  command('COPY', streamKey, streamKey),
  command('RENAME', streamKey, streamKey),
];

/** An id that the server chooses is that of its own time. */
function isComparable([name = '', ...rest]: CommandLine): boolean {
  if (/^XADD$/i.test(name)) return !rest.slice(1).some((word) => word === '*' || word.startsWith('*\x00'));
  return true;
}

export const streamGroup: SequenceGroup = { name: 'stream', commands: streamCommands, isComparable };

const fewIds: Words = fc.array(fc.integer({ min: 0, max: 9 }).map(String), { minLength: 1, maxLength: 2 });
const add = words(
  fc.constant('XADD'),
  fc.constant('s'),
  fc.constantFrom('0-*', '1-*', '2', '3', '5', '7', '9'),
  fc.constant('f'),
  fc.constant('v'),
);
const groups = subcommand('XINFO', 'GROUPS', fc.constant('s'));

/** How far groups have come, on one stream: entries that are gone make that unknown. */
export const streamProgressGroup: SequenceGroup = {
  name: 'stream-progress',
  others: 1,
  commands: [
    add,
    add,
    add,
    groups,
    groups,
    groups,
    fewIds.map((those) => ['XDEL', 's', ...those]),
    words(fc.constant('XTRIM'), fc.constant('s'), fc.constant('MAXLEN'), fc.constantFrom('0', '1', '2', '3')),
    fc.constantFrom('0', '$', '1', '3', '5').map((at) => ['XGROUP', 'CREATE', 's', 'g', at, 'MKSTREAM']),
    withOptions(
      subcommand('XGROUP', 'SETID', fc.constant('s'), fc.constant('g'), fc.constantFrom('0', '$', '1', '3', '5')),
      entriesRead,
      1,
    ),
    fc
      .constantFrom('1', '1', '2', '9')
      .map((most) => ['XREADGROUP', 'GROUP', 'g', 'a', 'COUNT', most, 'STREAMS', 's', '>']),
    fc
      .constantFrom('1', '1', '2', '9')
      .map((most) => ['XREADGROUP', 'GROUP', 'g', 'a', 'NOACK', 'COUNT', most, 'STREAMS', 's', '>']),
    withOptions(command('XSETID', fc.constant('s'), fc.constantFrom('3', '9', '9-9')), setIdOption, 2),
  ],
};
