/**
 * Users: rules, and what follows from them, must be the same as in Redis, text by text. Single commands among the rules of ACL LIST and ACL GETUSER
 * stand in the order of a hash table there, which another redis-server has otherwise, so words are compared without their order.
 * `KVORUM_ACL_RUNS` sets the number of random sequences.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { skipWithout } from '../support/programs.ts';
import { ourCommands, redisCommands } from './redis-page.ts';
import type { CommandLine, RawReply, RespConnection } from './resp-connection.ts';
import { SEED, seeded } from './seed.ts';
import { type ComparedTargets, comparedTargets, connected } from './targets.ts';

const RUNS = Number(process.env.KVORUM_ACL_RUNS ?? 60);

const SHA = 'a'.repeat(64);
const RULES = (
  'on off nopass resetpass reset >p >q <p <nope > sanitize-payload skip-sanitize-payload clearselectors allkeys resetkeys allchannels ' +
  'resetchannels allcommands nocommands ~a* ~b ~* ~ %R~r* %W~w* %RW~x %wr~y %R %~a %RR~ % &c* &d &* & +get +set -get -set +GET +config|get ' +
  '-config|get +config -config +config|foo +get| +config|get|x +select|0 +select|ABC +select|abc -select|0 + - +nope -nope +@read -@read ' +
  '+@write -@write +@all -@all -@dangerous +@fast -@fast +@admin +@string -@hash +@pubsub +@nope +@ @foo foo ON (+get (+@read () (on) ( ' +
  '~z) +get) (~*) (%R~x +get) (~a +set &ch) +migrate -debug +acl|whoami -acl|cat'
)
  .split(' ')
  .concat([
    '',
    '~a b',
    '( +get  ~a )',
    '( )',
    `#${SHA}`,
    `!${SHA}`,
    '#abc',
    `#${SHA.toUpperCase()}`,
    '(+nope)',
    '&a b',
    '~"a',
  ]);

const OF_REDIS = new Set(redisCommands().map(({ name }) => name));
const HERE = ourCommands();

/** A rule about a command that Redis 7.0 does not have. */
const isLater = (word: string): boolean => HERE.has(word.slice(1)) && !OF_REDIS.has(word.slice(1));

/** Words in alphabetical order, wherever rules are listed, but those about later commands. */
const unordered = ({ raw, text, items }: RawReply): unknown => {
  if (items !== undefined) return items.map(unordered);
  return text?.includes('@all') === true
    ? text
        .split(' ')
        .filter((word) => !isLater(word))
        .sort()
    : raw;
};

/** Two connections that are asked the same. */
class Pair {
  private readonly reference: RespConnection;
  private readonly tested: RespConnection;

  private constructor(reference: RespConnection, tested: RespConnection) {
    this.reference = reference;
    this.tested = tested;
  }

  static async open(targets: ComparedTargets): Promise<Pair> {
    return new Pair(...(await connected(targets)));
  }

  /** Asserts that both answer the same. */
  async same(...commands: readonly CommandLine[]): Promise<void> {
    const [expected, actual] = await this.ask(commands);
    for (const [at, command] of commands.entries()) {
      assert.deepEqual(unordered(actual[at]!), unordered(expected[at]!), command.join(' '));
    }
  }

  ask(commands: readonly CommandLine[]): Promise<[readonly RawReply[], readonly RawReply[]]> {
    return Promise.all([this.reference.call(commands), this.tested.call(commands)]);
  }

  /** Asserts that both have ended the connection. */
  async ended(): Promise<void> {
    for (const one of [this.reference, this.tested]) await assert.rejects(async () => one.call([['PING']]));
  }

  close(): void {
    this.reference.close();
    this.tested.close();
  }
}

const CALLS: readonly CommandLine[] = [
  ['GET', 'a1'],
  ['GET', 'r1'],
  ['GET', 'w1'],
  ['SET', 'b', '1'],
  ['SET', 'w1', '1'],
  ['SET', 'w1', '1', 'GET'],
  ['SET', 'x', '1', 'GET'],
  ['MGET', 'a', 'b', 'r', 'zz'],
  ['COPY', 'r1', 'w1'],
  ['EXISTS', 'r1', 'w1'],
  ['DEL', 'w1'],
  ['CONFIG', 'GET', 'x'],
  ['SELECT', '0'],
  ['SELECT', 'abc'],
  ['AUTH', 'x'],
  ['ACL', 'WHOAMI'],
  ['EVAL', 'return 1', '1', 'r1'],
  ['NOPE'],
  ['CONFIG', 'NOPE'],
  ['GET'],
];

describe('users beside redis-server', { skip: skipWithout('redis-server') }, () => {
  const targets = comparedTargets();
  let pair: Pair;

  before(async () => {
    pair = await Pair.open(targets);
  });

  after(() => pair?.close());

  test(seeded('take the same rules and show the same'), async () => {
    const rule = fc.constantFrom(...RULES);
    const change = fc.array(rule, { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), async (changes) => {
        await pair.same(['ACL', 'DELUSER', 'u']);
        for (const rules of changes) {
          await pair.same(['ACL', 'SETUSER', 'u', ...rules], ['ACL', 'GETUSER', 'u'], ['ACL', 'LIST']);
        }
        await pair.same(...CALLS.map((call): CommandLine => ['ACL', 'DRYRUN', 'u', ...call]));
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });

  test('answer all that is said wrongly', async () => {
    await pair.same(
      ['ACL', 'SETUSER', 'a b'],
      ['ACL', 'SETUSER', 'v', '+get', '~k', 'nope'],
      ['ACL', 'GETUSER', 'v'],
      ['ACL', 'SETUSER', 'v', 'on', '(+get', '~x)', '(+set', '~y)'],
      ['ACL', 'SETUSER', 'v', '(+get', '~x'],
      ['ACL', 'USERS'],
      ['ACL', 'DELUSER', 'v', 'v', 'zz'],
      ['ACL', 'SETUSER', 'w'],
      ['ACL', 'DELUSER', 'w', 'default', 'x'],
      ['ACL', 'USERS'],
      ['ACL', 'GETUSER', 'nobody'],
      ...['0', 'x', '4097', '-1'].map((bits): CommandLine => ['ACL', 'GENPASS', bits]),
      ['ACL', 'GENPASS', '1', '2'],
      ['ACL', 'CAT'],
      ['ACL', 'CAT', 'foo'],
      ['ACL', 'CAT', 'a', 'b'],
      ['ACL', 'LOG', 'RESET'],
      ['ACL', 'LOG'],
      ...['x', '-1', '0'].map((count): CommandLine => ['ACL', 'LOG', count]),
      ['ACL', 'LOG', '1', '2'],
      ['ACL', 'WHOAMI'],
      ['ACL', 'WHOAMI', 'x'],
      ['ACL', 'SAVE'],
      ['ACL', 'LOAD'],
      ['ACL', 'NOPE'],
      ['ACL'],
      ['ACL', 'DRYRUN', 'nobody', 'get'],
      ['ACL', 'DRYRUN', 'nobody'],
      ['ACL', 'DRYRUN', 'default', 'nope'],
      ['ACL', 'DRYRUN', 'default', 'get'],
      ['ACL', 'DRYRUN', 'default', 'config', 'nope'],
    );
    const [expected, actual] = await pair.ask([
      ['ACL', 'GENPASS'],
      ['ACL', 'GENPASS', '5'],
      ['ACL', 'GENPASS', '4096'],
    ]);
    for (const at of expected.keys()) assert.equal(actual[at]!.text?.length, expected[at]!.text?.length);
  });

  test('say which commands are in which category', async () => {
    const categories = (await pair.ask([['ACL', 'CAT']]))[0][0]!.items!.map(({ text }) => text!);
    for (const category of categories) {
      const [[expected], [actual]] = await pair.ask([['ACL', 'CAT', category]]);
      const names = (reply: RawReply | undefined) => reply!.items!.map(({ text }) => text!).sort();
      assert.deepEqual(
        names(actual).filter((name) => OF_REDIS.has(name)),
        names(expected).filter((name) => HERE.has(name)),
        category,
      );
    }
  });

  test('need the same of each key of each command', async () => {
    // DEBUG has subcommands here, and none in Redis; ZRANK and ZREVRANK have options of later versions.
    const others = new Set(['debug', 'zrank', 'zrevrank']);
    const names = [...OF_REDIS].filter((name) => HERE.has(name) && !others.has(name));
    await pair.same(
      ['ACL', 'SETUSER', 'reader', 'on', '+@all', '%R~*', '%W~other'],
      ['ACL', 'SETUSER', 'writer', 'on', '+@all', '%W~*', '%R~other'],
      ['ACL', 'SETUSER', 'first', 'on', '+@all', '%R~1', '%W~2'],
    );
    for (const name of names) {
      const words = name.split('|');
      const count = Math.abs(HERE.get(name)!.arity) - words.length;
      for (const more of [0, 1, 2]) {
        // Redis finds no key at all then, and so asks for no permission.
        if (name === 'pfmerge' && more === 0) continue;
        const args = Array.from({ length: count + more }, (_, at) => (at === 1 ? '2' : '1'));
        const users = ['reader', 'writer', 'first'];
        await pair.same(...users.map((user): CommandLine => ['ACL', 'DRYRUN', user, ...words, ...args]));
      }
    }
  });
});

/** Conversations of users who may not do everything, each on a connection of its own. */
const SETUP: readonly CommandLine[] = [
  [
    'ACL',
    'SETUSER',
    'lim',
    'reset',
    'on',
    '>p',
    '~a*',
    '%R~r*',
    '&c*',
    '+@read',
    '+set',
    '+publish',
    '+config|get',
    '+select|0',
  ],
  [
    'ACL',
    'SETUSER',
    'lim',
    '+eval',
    '+eval_ro',
    '+multi',
    '+exec',
    '+discard',
    '+acl|whoami',
    '+sort',
    '+command',
    '+ping',
  ],
  ['ACL', 'SETUSER', 'two', 'reset', 'on', '>p', '~a*', '+get', '(~b* +set)', '(~c* +@read)'],
  ['ACL', 'SETUSER', 'off', 'reset', 'off', '>p', '+@all', '~*'],
  ['ACL', 'SETUSER', 'open', 'reset', 'on', 'nopass', '+ping', '+acl|whoami'],
  ['ACL', 'SETUSER', 'never', 'reset', 'on', '+@all', '~*'],
  ['DEL', 'a', 'b', 'r1'],
  ['RPUSH', 'a', '2', '1'],
];

const CONVERSATIONS: readonly (readonly CommandLine[])[] = [
  [
    ['AUTH', 'lim', 'p'],
    ['ACL', 'WHOAMI'],
    ['SET', 'b', '1'],
    ['SET', 'a1', '1'],
    ['SET', 'r1', 'x'],
    ['GET', 'zz'],
    ['GET', 'r1'],
    ['MGET', 'r1', 'zz'],
    ['DEL', 'a1'],
    ['PUBLISH', 'd', 'x'],
    ['PUBLISH', 'c1', 'x'],
    ['CONFIG', 'SET', 'timeout', '1'],
    ['CONFIG', 'GET', 'timeout'],
    ['SELECT', '1'],
    ['SELECT', '0'],
    ['ACL', 'LIST'],
    ['FOO'],
    ['CONFIG', 'FOO'],
    ['GET'],
    ['RESET'],
    ['ACL', 'WHOAMI'],
  ],
  [
    ['AUTH', 'lim', 'p'],
    ['EVAL', 'return redis.call("set", "zz", 1)', '0'],
    ['EVAL', 'return redis.call("set", "a2", 1)', '0'],
    ['EVAL', 'return redis.call("del", "a2")', '0'],
    ['EVAL', 'return redis.pcall("del", "a2").err', '0'],
    ['EVAL', 'return redis.pcall("get", "zz").err', '0'],
    ['EVAL', 'return redis.call("publish", "d", "x")', '0'],
    ['EVAL', 'return redis.acl_check_cmd("set", "zz", 1)', '0'],
    ['EVAL', 'return redis.acl_check_cmd("set", "a1", 1)', '0'],
    ['EVAL', 'return redis.acl_check_cmd("del", "a1")', '0'],
    ['EVAL', 'return redis.acl_check_cmd("nope", "a1")', '0'],
    ['EVAL', 'return redis.acl_check_cmd()', '0'],
    ['EVAL', 'return 1', '1', 'zz'],
    ['EVAL_RO', 'return redis.call("get", "zz")', '0'],
    ['EVAL_RO', 'return redis.call("get", "r1")', '0'],
    ['EVAL_RO', 'return redis.call("set", "a1", "1")', '0'],
  ],
  [
    ['AUTH', 'lim', 'p'],
    ['MULTI'],
    ['SET', 'zz', '1'],
    ['EXEC'],
    ['MULTI'],
    ['SET', 'a1', '1'],
    ['EVAL', 'return redis.call("get", "zz")', '0'],
    ['GET', 'a1'],
    ['EXEC'],
    ['MULTI'],
    ['FLUSHALL'],
    ['DISCARD'],
  ],
  [
    ['AUTH', 'lim', 'p'],
    ['SORT', 'a', 'BY', 'x*'],
    ['SORT', 'a', 'GET', 'x*'],
    ['SORT', 'a', 'GET', '#'],
    ['SORT', 'a', 'BY', 'nosort'],
    ['SORT', 'a', 'BY', 'x*', 'foo'],
    ['SORT', 'a', 'foo', 'BY', 'x*'],
    ['SORT', 'a', 'STORE', 'zz'],
    ['SORT', 'a', 'STORE', 'a9'],
    ['SORT_RO', 'a', 'BY', 'x*'],
    ['EVAL', 'return redis.call("sort", "a", "by", "x*")', '0'],
  ],
  [
    ['AUTH', 'two', 'p'],
    ['GET', 'a'],
    ['GET', 'b'],
    ['GET', 'c'],
    ['SET', 'a', '1'],
    ['SET', 'b', '1'],
    ['SET', 'c', '1'],
    ['MGET', 'c', 'd', 'e'],
    ['DEL', 'a'],
  ],
  [
    ['AUTH', 'lim', 'p'],
    ['SPUBLISH', 'c1', 'x'],
    ['FCALL', 'f', '0'],
    ['SUBSCRIBE', 'c1', 'd'],
    ['PSUBSCRIBE', 'c*'],
  ],
  [
    ['AUTH', 'off', 'p'],
    ['AUTH', 'open', 'whatever'],
    ['ACL', 'WHOAMI'],
    ['GET', 'a'],
    ['AUTH', 'never', ''],
    ['AUTH', 'never', 'x'],
    ['AUTH', 'nobody', 'x'],
    ['AUTH', 'with blank', 'x'],
    ['AUTH', 'lim', 'P'],
    ['ACL', 'WHOAMI'],
    ['HELLO', '2', 'AUTH', 'lim', 'x'],
    ['HELLO', '2', 'AUTH', 'open', ''],
    ['HELLO', '3', 'AUTH', 'lim', 'p', 'SETNAME', 'a'],
    ['ACL', 'WHOAMI'],
    ['GET', 'zz'],
  ],
];

/** The parts of HELLO's answer that another server has otherwise are left out. */
const comparable = ({ raw, text, items }: RawReply): unknown =>
  items === undefined ? (text ?? raw) : items.length > 8 ? items.slice(0, 4).map(comparable) : items.map(comparable);

describe('users who may not do everything, beside redis-server', { skip: skipWithout('redis-server') }, () => {
  const targets = comparedTargets();

  test('get the same answers, and are noted in the same words', async () => {
    const admins = await Pair.open(targets);
    await admins.same(...SETUP);
    for (const conversation of CONVERSATIONS) {
      await admins.ask([['ACL', 'LOG', 'RESET']]);
      const limited = await Pair.open(targets);
      for (const command of conversation) {
        const [[expected], [actual]] = await limited.ask([command]);
        assert.deepEqual(
          comparable(actual!),
          comparable(expected!),
          `${conversation[0]!.join(' ')}: ${command.join(' ')}`,
        );
      }
      const [[expected], [actual]] = await admins.ask([['ACL', 'LOG', '100']]);
      assert.deepEqual(noted(actual!), noted(expected!), JSON.stringify(conversation[0]));
      limited.close();
    }
    admins.close();
  });

  test('lose what is taken from them between MULTI and EXEC, and their connection when they are deleted', async () => {
    const admins = await Pair.open(targets);
    const limited = await Pair.open(targets);
    await admins.same(['ACL', 'SETUSER', 'x', 'reset', 'on', 'nopass', '+@all', '~a*', '~b*', '&*']);
    await limited.same(['AUTH', 'x', ''], ['MULTI'], ['SET', 'a', '1'], ['SET', 'b', '1'], ['PING'], ['GET', 'a']);
    await admins.same(['ACL', 'SETUSER', 'x', 'resetkeys', '~b*', '-ping', 'resetchannels']);
    await limited.same(['EXEC'], ['GET', 'a'], ['GET', 'b']);
    // Who is in stays in.
    await admins.same(['ACL', 'SETUSER', 'x', 'off', 'resetpass']);
    await limited.same(['GET', 'b'], ['ACL', 'WHOAMI']);
    await admins.same(['ACL', 'SETUSER', 'x', 'on', 'nopass'], ['ACL', 'DELUSER', 'x']);
    await limited.ended();
    const again = await Pair.open(targets);
    await again.same(['AUTH', 'x', '']);
    for (const one of [admins, limited, again]) one.close();
  });

  test('lose their connection when they may not listen any more', async () => {
    const admins = await Pair.open(targets);
    const rules = ['reset', 'on', 'nopass', '+@all', '&c*', '&d*'];
    for (const [subscribe, name, isCut] of [
      ['SUBSCRIBE', 'c1', false],
      ['SUBSCRIBE', 'd1', true],
      ['PSUBSCRIBE', 'c*', false],
      ['PSUBSCRIBE', 'd*', true],
      ['SSUBSCRIBE', 'c1', false],
      ['SSUBSCRIBE', 'd1', true],
    ] as const) {
      await admins.same(['ACL', 'SETUSER', 'ear', ...rules]);
      const listener = await Pair.open(targets);
      await listener.same(['AUTH', 'ear', ''], ['ACL', 'WHOAMI']);
      await listener.same([subscribe, name]);
      await admins.same(['ACL', 'SETUSER', 'ear', 'resetchannels', '&c*', '&e']);
      if (isCut) await listener.ended();
      else await listener.same(['PING']);
      listener.close();
    }
    admins.close();
  });

  test('may be the default user, who then needs a password', async () => {
    const admins = await Pair.open(targets);
    await admins.same(
      ['AUTH', 'x'],
      ['CONFIG', 'SET', 'requirepass', 'one'],
      ['ACL', 'LIST'],
      ['ACL', 'SETUSER', 'default', '>two', '-@dangerous'],
      ['ACL', 'GETUSER', 'default'],
      ['KEYS', '*'],
      ['GET', 'k'],
    );
    const stranger = await Pair.open(targets);
    await stranger.same(
      ['GET', 'k'],
      ['AUTH', 'three'],
      ['AUTH', 'two'],
      ['GET', 'k'],
      ['KEYS', '*'],
      ['RESET'],
      ['GET', 'k'],
    );
    await stranger.same(['AUTH', 'default', 'one'], ['ACL', 'WHOAMI'], ['KEYS', '*']);
    for (const one of [admins, stranger]) one.close();
  });
});

/** An entry of ACL LOG without what tells the servers apart. */
const noted = (log: RawReply): unknown =>
  log.items!.map(({ items }) => {
    const fields = items!.map(({ text, raw }) => text ?? raw);
    return [
      ...fields.slice(0, 11),
      fields[12],
      /\buser=(\S+)/.exec(fields[13]!)?.[1],
      /\bcmd=(\S+)/.exec(fields[13]!)?.[1],
    ];
  });
