/** SORT and SORT_RO, and what they need to find: weights in strings and in hashes. */
import fc from 'fast-check';
import type { SequenceGroup } from './group.ts';
import {
  badFloat,
  bulk,
  command,
  integer,
  key,
  member,
  one,
  position,
  text,
  type Words,
  withOptions,
  words,
} from './words.ts';

/** Numbers that are elements and parts of the keys of weights. */
const element = fc.constantFrom('1', '2', '3', '10', '-1', '2.5', '20', '03', '1e1');
const number = fc.constantFrom('0', '1', '-1', '2.5', '10', '1e2', ' 7', '', '0x10', 'inf', '-inf', '1e-300');
const weight = fc.oneof(
  { weight: 8, arbitrary: number },
  {
    weight: 1,
    arbitrary: fc.oneof(badFloat, integer, text, fc.constantFrom('nan', '1 ', '1x', '1\x00x', '1e-310', '-0')),
  },
);
const found = fc.constantFrom('w1', 'w2', 'w3', 'w10', 'w-1', 'wa', 'wb', '1', 'w', '{a}w1');
const field = fc.constantFrom('f', 'g', '', 'f->g');
const pattern = fc.constantFrom(
  ...[
    'w*',
    'w*',
    'w*',
    'h*->f',
    'h*->f',
    'h*->g',
    'h*->',
    'w**',
    '*',
    '#',
    'nokey',
    '{a}w*',
    'w*\x00->f',
    'w\x00*',
    '',
    'h*->f->g',
    '->*',
    'w#',
  ],
);
const option = fc.oneof(
  { weight: 3, arbitrary: words(fc.constantFrom('BY', 'by'), pattern) },
  { weight: 3, arbitrary: words(fc.constantFrom('GET', 'get'), pattern) },
  { weight: 2, arbitrary: words(fc.constantFrom('LIMIT', 'limit'), position, position) },
  { weight: 3, arbitrary: one('ASC', 'DESC', 'ALPHA', 'ALPHA', 'desc', 'alpha') },
  { weight: 1, arbitrary: words(fc.constantFrom('STORE', 'store'), key) },
  { weight: 1, arbitrary: one('BY', 'GET', 'LIMIT', 'STORE', 'junk') },
);

const sortCommands: Words[] = [
  withOptions(command('SORT', key), option, 4),
  withOptions(command('SORT', key), option, 4),
  withOptions(command('SORT', key, fc.constant('BY'), fc.constantFrom('w*', 'h*->f')), option, 3),
  withOptions(command('SORT', key, fc.constant('STORE'), key), option, 3),
  withOptions(command('SORT_RO', key), option, 4),
  command('LRANGE', key, fc.constant('0'), fc.constant('-1')),
  withOptions(command('RPUSH', key, element), words(element), 8),
  withOptions(command('RPUSH', key, element), words(element), 8),
  withOptions(command('RPUSH', key, member), words(member), 6),
  withOptions(command('SADD', key, element), words(element), 8),
  withOptions(command('SADD', key, member), words(member), 6),
  withOptions(command('ZADD', key, number, element), words(number, element), 6),
  bulk(command('SADD', key), (nth) => [`${nth}`], 20, 130),
  command('SET', found, weight),
  command('SET', found, weight),
  withOptions(command('HSET', fc.constantFrom('h1', 'h2', 'h3', 'h10', 'ha'), field, weight), words(field, weight), 3),
  withOptions(command('MSET', found, number), words(found, number), 5),
];

/** The order of the same weights is free, so what is stored of them might differ from then on. */
const isStoredInFreeOrder = (line: readonly string[]): boolean => {
  const names = new Set(line.map((word) => word.toUpperCase()));
  return ['BY', 'ALPHA', 'STORE'].every((name) => names.has(name));
};

export const sortGroup: SequenceGroup = {
  name: 'sort',
  commands: sortCommands.map((line) => line.filter((one) => !isStoredInFreeOrder(one))),
};
