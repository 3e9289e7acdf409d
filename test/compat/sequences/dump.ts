/** DUMP and RESTORE. Payloads are made beforehand, as a real Redis makes them; some are damaged. */
import fc from 'fast-check';
import { type RdbValue, writePayload } from '../../../src/adapter/redis/rdb/index.ts';
import { sealed } from '../../adapter/redis/rdb/old-forms.ts';
import type { SequenceGroup } from './group.ts';
import { badInteger, command, integerOrNot, key, milliseconds, one, unixMs, withOptions, words } from './words.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const payloadOf = (value: RdbValue, isCompact = false): string => writePayload(value, { isCompact }).toString('latin1');
const members = ['a', 'bb', '300', ''].map(bytes);

const GOOD: readonly string[] = [
  payloadOf({ type: 'string', bytes: bytes('hello') }),
  payloadOf({ type: 'string', bytes: bytes('12345') }),
  payloadOf({ type: 'string', bytes: bytes('abc'.repeat(100)) }),
  payloadOf({ type: 'list', values: [...members, ...members] }),
  payloadOf({ type: 'set', members }),
  payloadOf({ type: 'set', members: ['1', '20', '300'].map(bytes) }, true),
  ...[false, true].map((isCompact) =>
    payloadOf({ type: 'hash', fields: members.map((field, nth) => ({ field, value: bytes(`${nth}`) })) }, isCompact),
  ),
  ...[false, true].map((isCompact) =>
    payloadOf({ type: 'zset', members: members.map((member, nth) => ({ member, score: nth / 2 })) }, isCompact),
  ),
];

/**
 * Without elements, of an unknown type, with fewer elements than they say, of nothing. Redis reads on into version and checksum, so much is missing.
 */
const BAD: readonly string[] = [
  ...[
    [4, 0],
    [2, 0],
    [5, 0],
    [1, 0],
    [99, 0],
    [2, 63, 1, 97],
    [4, 63, 1, 97, 1, 98],
    [0, 63, 97],
    [16, 3, 1, 2, 3],
  ].map((value) => sealed(Buffer.from(value)).toString('latin1')),
  GOOD[0]!.slice(0, -1),
  GOOD[0]!.slice(1),
  `x${GOOD[3]!}`,
  '',
  'x',
];

const payload = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...GOOD) },
  { weight: 1, arbitrary: fc.constantFrom(...BAD) },
);
const ttl = fc.oneof(
  { weight: 4, arbitrary: fc.constant('0') },
  { weight: 2, arbitrary: milliseconds },
  { weight: 1, arbitrary: badInteger },
);
const option = fc.oneof(
  one('REPLACE', 'replace', 'REPLACE', 'ABSTTL', 'junk', 'IDLETIME', 'FREQ'),
  words(fc.constant('IDLETIME'), integerOrNot),
  words(fc.constant('FREQ'), fc.oneof(integerOrNot, fc.constantFrom('0', '255', '256'))),
);

export const dumpGroup: SequenceGroup = {
  name: 'dump',
  commands: [
    command('DUMP', key),
    withOptions(command('RESTORE', key, ttl, payload), option, 3),
    withOptions(command('RESTORE', key, ttl, payload), one('REPLACE'), 1),
    withOptions(command('RESTORE', key, unixMs, payload, fc.constant('ABSTTL')), option, 1),
    command('TTL', key),
    command('PEXPIRETIME', key),
    command('TYPE', key),
    command('HGETALL', key),
    command('LRANGE', key, fc.constant('0'), fc.constant('-1')),
    command('SMEMBERS', key),
    command('ZRANGE', key, fc.constant('0'), fc.constant('-1'), fc.constant('WITHSCORES')),
    command('GET', key),
  ],
};
