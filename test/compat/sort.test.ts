/** What random sequences leave open about SORT because Redis does: orders that are exact, and what counts as a number. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { skipWithout } from '../support/programs.ts';
import { type CommandLine, RespConnection } from './resp-connection.ts';
import { comparedTargets, type Target } from './targets.ts';

const NUMBERS = [
  ...[
    '1',
    '-1',
    '+1',
    '01',
    '1.5',
    '.5',
    '5.',
    '1e3',
    '1E3',
    '-1e-3',
    '0x10',
    '0x1p3',
    '0x.8',
    '0x',
    '1x',
    'x',
    ' 1',
    '\t\n1',
    '1 ',
  ],
  ...[
    '',
    ' ',
    '-',
    '+',
    '.',
    'e1',
    '1e',
    '1e+',
    '1.2.3',
    '1,5',
    '1_000',
    '--1',
    '\x00',
    '1\x00',
    '1\x00x',
    'x\x00',
    '\x001',
  ],
  ...['inf', '-inf', 'Infinity', 'infinit', 'infx', 'nan', '-nan', 'nan(1)', 'NaN', 'nan('],
  ...[
    '1e308',
    '1e309',
    '-1e309',
    '1e-307',
    '1e-308',
    '2.2250738585072014e-308',
    '1e-310',
    '5e-324',
    '1e-400',
    '0e-400',
    '0e999999',
  ],
  ...['9223372036854775807', '9223372036854775808', '123456789012345678901234567890', '0.1', '0.10000000000000001'],
];

describe('SORT beside redis-server', { skip: skipWithout('redis-server') }, () => {
  const targets = comparedTargets();

  /** Replies to commands that run on a new connection: taking it in clears `errno`, where Redis' SORT looks for an error. */
  async function replies({ host, port }: Target, commands: readonly CommandLine[]): Promise<string[]> {
    const connection = await RespConnection.open(host, port);
    await connection.call([['PING']]);
    const answers: string[] = [];
    for (const command of commands) {
      const [reply] = await connection.call([command]);
      answers.push(`${JSON.stringify(command)} ${JSON.stringify(reply!.raw)}`);
    }
    connection.close();
    return answers;
  }

  async function compare(commands: readonly CommandLine[]): Promise<void> {
    const [expected, actual] = await Promise.all([
      replies(targets.reference, commands),
      replies(targets.tested, commands),
    ]);
    assert.deepEqual(actual, expected);
  }

  test('takes the same texts for numbers, and in the same order', async () => {
    const taken: string[] = [];
    for (const text of NUMBERS) {
      const commands = [['FLUSHALL'], ['RPUSH', 'l', '5', text], ['SET', 'w5', '5'], [`SET`, `w${text}`, text]];
      await compare([...commands, ['SORT', 'l'], ['SORT', 'l', 'BY', 'w*', 'GET', '#', 'GET', 'w*']]);
      const [reply] = await replies(targets.tested, [['SORT', 'l']]);
      if (!reply!.includes('"-ERR')) taken.push(text);
    }
    assert.ok(taken.length > 25 && taken.length < NUMBERS.length - 15);
    const weights = taken.flatMap((text, nth) => [`v${nth}`, text]);
    const ids = taken.map((_, nth) => String(nth));
    await compare([['FLUSHALL'], ['MSET', ...weights], ['RPUSH', 'l', ...ids]]);
    await compare([
      ['SORT', 'l', 'BY', 'v*'],
      ['SORT', 'l', 'BY', 'v*', 'DESC', 'LIMIT', '3', '9'],
      ['SORT', 'l', 'BY', 'v*', 'STORE', 'd'],
      ['LRANGE', 'd', '0', '-1'],
    ]);
  });

  test('keeps the order of lists and sorted sets when it is asked for none', async () => {
    const values = ['c', 'a', '', 'b', 'a', '10', '9', '\xff', 'a\x00b'];
    const members = values.slice(0, 4).flatMap((member, nth) => [String((nth * 7) % 5), member]);
    const keys: CommandLine[] = [['FLUSHALL'], ['RPUSH', 'l', ...values], ['ZADD', 'z', ...members]];
    const limits: CommandLine[] = [
      [],
      ['LIMIT', '0', '2'],
      ['LIMIT', '1', '2'],
      ['LIMIT', '3', '100'],
      ['LIMIT', '9', '1'],
      ['LIMIT', '-5', '2'],
      ['LIMIT', '2', '-7'],
      ['LIMIT', '0', '0'],
    ];
    const sorts: CommandLine[] = [];
    for (const key of ['l', 'z', 'none'])
      for (const order of [[], ['DESC'], ['ALPHA'], ['ALPHA', 'DESC']])
        for (const limit of limits)
          for (const by of [['BY', 'nosort'], ['BY', 'w*', 'BY', 'x'], []])
            sorts.push(
              ['SORT', key, ...by, ...order, ...limit],
              ['SORT', key, ...by, ...order, ...limit, 'STORE', 'd'],
              ['LRANGE', 'd', '0', '-1'],
            );
    await compare([...keys, ...sorts]);
  });

  test('orders by texts', async () => {
    const texts = ['b', 'a', 'B', 'ab', 'a\x01', '\xe4', '', 'Z', '10', '9'];
    const weights = texts.flatMap((text, nth) => [`w${nth}`, text]);
    const ids = [...texts.keys(), 77].map(String);
    await compare([
      ['FLUSHALL'],
      ['MSET', ...weights],
      ['RPUSH', 'l', ...ids],
      ['SADD', 's', ...ids],
      ['RPUSH', 't', ...texts],
      ['SORT', 'l', 'BY', 'w*', 'ALPHA'],
      ['SORT', 's', 'BY', 'w*', 'ALPHA', 'DESC'],
      ['SORT', 's', 'BY', 'w*', 'ALPHA', 'LIMIT', '2', '5', 'GET', 'w*'],
      ['SORT', 's', 'BY', 'w*', 'ALPHA', 'STORE', 'd'],
      ['LRANGE', 'd', '0', '-1'],
      ['SORT', 't', 'ALPHA'],
      ['SORT', 't', 'ALPHA', 'DESC', 'STORE', 'd'],
      ['LRANGE', 'd', '0', '-1'],
      ['SORT', 's', 'BY', 'nosort', 'STORE', 'd'],
      ['LRANGE', 'd', '0', '-1'],
    ]);
  });
});
