import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Callers, User, UserCaller } from '../../../../src/adapter/redis/acl/index.ts';
import { DEFAULT_ENCODINGS, type EncodingThresholds } from '../../../../src/adapter/redis/bodies/index.ts';
import { CommandCounters, CommandTable } from '../../../../src/adapter/redis/command/index.ts';
import { dataCommands } from '../../../../src/adapter/redis/commands/index.ts';
import {
  decodeAnswers,
  decodeMessage,
  encodeAcross,
  encodeAnswers,
  encodeBatch,
} from '../../../../src/adapter/redis/request/forwarded-command.ts';
import { CommandRequest, type RequestOwner, RowsRequest } from '../../../../src/adapter/redis/request/group-request.ts';
import { TransactionRequest } from '../../../../src/adapter/redis/request/transaction-requests.ts';
import { groupId, hlcTimestamp, SeededRandom } from '../../../../src/platform/index.ts';

const OWNER: RequestOwner = { firstRefused: Number.POSITIVE_INFINITY, settled: () => {} };
const THRESHOLDS: EncodingThresholds = {
  hashFields: 1,
  hashBytes: 2,
  setIntegers: 3,
  orderMembers: 4,
  orderBytes: 5,
  sketchBytes: 2 ** 53,
};
const specOf = (name: string) => dataCommands.find((spec) => spec.name === name)!;
const settingsWith = (encodings: EncodingThresholds) => ({
  random: new SeededRandom(1),
  maxStringBytes: 1024,
  encodings,
});

const get = (encodings: EncodingThresholds, token = 0): CommandRequest =>
  new CommandRequest({
    spec: specOf('get'),
    args: [Buffer.from('GET'), Buffer.from('k')],
    db: 1,
    resp: 3,
    settings: settingsWith(encodings),
    owner: OWNER,
    token,
  });

const callers = new Callers(new CommandTable(dataCommands));

const environmentWith = (own: EncodingThresholds) => ({
  settings: settingsWith(own),
  owner: OWNER,
  findData: () => specOf('get'),
  readCaller: (bytes: Buffer) => callers.decode(bytes),
});

const decodedBatch = (bytes: Buffer, own: EncodingThresholds) => {
  const message = decodeMessage(bytes, environmentWith(own));
  assert.ok(message.kind === 'batch');
  return message;
};

const decoded = (bytes: Buffer, own: EncodingThresholds) => decodedBatch(bytes, own).requests;

const lengthAnd = (bytes: Buffer): string => bytes.length.toString(16).padStart(8, '0') + bytes.toString('hex');

describe('a forwarded batch', () => {
  test('has these bytes', () => {
    const header = '03 01 00000007 00000001';
    const command = '01 00000002 00000003 474554 00000001 6b';
    const compact = (spaced: string) => spaced.replaceAll(' ', '');
    const encoded = (encodings: EncodingThresholds) => encodeBatch(groupId(7), [get(encodings)]).toString('hex');
    assert.equal(encoded(DEFAULT_ENCODINGS), compact(`${header} 00 03 ${command}`));
    const thresholds = [1, 2, 3, 4, 5].map((one) => `000000000000000${one}`).join('');
    assert.equal(encoded(THRESHOLDS), compact(`${header} 80 03 ${thresholds} 0020000000000000 ${command}`));
  });

  test('says where it stands in a chain', () => {
    const chain = { chain: 0x0003_0000_0001, place: 258 };
    const bytes = Buffer.from(encodeBatch(groupId(7), [get(DEFAULT_ENCODINGS)], chain));
    const command = '00 03 01 00000002 00000003 474554 00000001 6b';
    const spaced = `03 05 00000007 ffffffffffffffff 0000000300000001 00000102 00000001 ${command}`;
    assert.equal(bytes.toString('hex'), spaced.replaceAll(' ', ''));
    const message = decodedBatch(bytes, DEFAULT_ENCODINGS);
    assert.deepEqual(message.chain, chain);
    assert.equal(message.requests[0]!.tellFromMs, Number.POSITIVE_INFINITY);
  });

  test('asks how long evaluations took, unless nobody wants to know or the leader could not tell', () => {
    const meter = { leastMs: 10, nowMs: () => 0, evaluated: () => {}, lookedUp: () => {} };
    const measuredBy = (leastMs: number, mayCreateBodies: boolean): Buffer => {
      const request = get(DEFAULT_ENCODINGS);
      request.settings = { ...request.settings, meter: { ...meter, leastMs }, mayCreateBodies: () => mayCreateBodies };
      return Buffer.from(encodeBatch(groupId(7), [request]));
    };
    const plain = encodeBatch(groupId(7), [get(DEFAULT_ENCODINGS)]).toString('hex');
    const measured = measuredBy(10, true);
    assert.equal(measured.toString('hex'), `030400000007${'2710'.padStart(16, '0')}${plain.slice(12)}`);
    assert.equal(decoded(measured, DEFAULT_ENCODINGS)[0]!.tellFromMs, 10);
    assert.equal(measuredBy(10, false).toString('hex'), plain);
    assert.equal(measuredBy(Number.POSITIVE_INFINITY, true).toString('hex'), plain);
    assert.equal(decoded(Buffer.from(plain, 'hex'), DEFAULT_ENCODINGS)[0]!.tellFromMs, Number.POSITIVE_INFINITY);
  });

  test('of several groups says for all requests what its node wants to know', () => {
    const request = get(DEFAULT_ENCODINGS);
    const command = '00 03 01 00000002 00000003 474554 00000001 6b';
    const bytes = (micros: string) => `03 06 00000007 ${micros} 00000002 ${command} ${command}`.replaceAll(' ', '');
    assert.equal(encodeAcross(groupId(7), [request, request]).toString('hex'), bytes('ffffffffffffffff'));
    const meter = { leastMs: 10, nowMs: () => 0, evaluated: () => {}, lookedUp: () => {} };
    request.settings = { ...request.settings, meter, mayCreateBodies: () => true };
    const measured = Buffer.from(encodeAcross(groupId(7), [request, request]));
    assert.equal(measured.toString('hex'), bytes('2710'.padStart(16, '0')));
    for (const [given, tellFromMs] of [
      [measured, 10],
      [Buffer.from(bytes('ffffffffffffffff'), 'hex'), Number.POSITIVE_INFINITY],
    ] as const) {
      const message = decodeMessage(given, environmentWith(THRESHOLDS));
      assert.ok(message.kind === 'across' && message.requests.length === 2 && message.group === 7);
      for (const one of message.requests) {
        assert.ok(one instanceof CommandRequest);
        assert.deepEqual([one.args.map(String), one.settings.encodings], [['GET', 'k'], DEFAULT_ENCODINGS]);
        assert.equal(one.tellFromMs, tellFromMs);
      }
    }
  });

  test('is answered with what took long in front of the reply', () => {
    const slow = new Map([[1, [{ at: 2, tookMs: 12.345 }]]]);
    const bytes = Buffer.from(encodeAnswers([[Buffer.from('+A')], [Buffer.from('+B')]], slow) as Buffer);
    const tail = `06 00000001 00000002 ${'3039'.padStart(16, '0')} 00000002 2b42`.replaceAll(' ', '');
    assert.equal(bytes.toString('hex'), `0000000200000000022b41${tail}`);
    const told: unknown[] = [];
    const answers = decodeAnswers(bytes, (place, what) => told.push([place, what]));
    assert.deepEqual([answers.map(String), told], [['+A', '+B'], [[1, slow.get(1)]]]);
  });

  test('carries the user who has called, and its rules', () => {
    const environment = { commands: callers.commands, allChannels: false };
    const rules = ['on', '>p', '~a*', '%R~b', '&c', '+get', '(+set ~d)'];
    const user = new User('bob', environment).changedBy(rules);
    const caller = new UserCaller(user, callers.commands, 'id=3');
    const request = get(DEFAULT_ENCODINGS);
    request.settings = { ...request.settings, caller };
    const [again] = decoded(encodeBatch(groupId(7), [request]), DEFAULT_ENCODINGS);
    assert.equal(
      encodeBatch(groupId(7), [request]).toString('latin1'),
      '\x03\x01\0\0\0\x07\0\0\0\x01\x40\x03\0\0\0\xde\0\0\0\xd2' +
        '{"name":"bob","flags":["on"],"hashes":["148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940"],' +
        '"selectors":[["~a*","%R~b","resetchannels","&c","-@all","+get"],["~d","resetchannels","-@all","+set"]]}' +
        '\0\0\0\x04id=3\x01\0\0\0\x02\0\0\0\x03GET\0\0\0\x01k',
    );
    const { caller: known } = again!.settings;
    assert.equal(known!.encode().toString(), caller.encode().toString());
    const spec = { spec: specOf('get'), fullName: 'get', subcommands: undefined, counters: new CommandCounters() };
    const refused = (key: string) => known!.refusalOf(spec, [Buffer.from('get'), Buffer.from(key)])?.reason;
    assert.deepEqual([refused('a1'), refused('b'), refused('d')], [undefined, undefined, 'key']);
  });

  test('carries the number of a client that does not want to hear of its own changes', () => {
    const request = get(DEFAULT_ENCODINGS);
    request.settings = { ...request.settings, quietClient: 10_000_000_007 };
    const bytes = Buffer.from(encodeBatch(groupId(7), [request]));
    const compact = '03 01 00000007 00000001 20 03 00000002540be407 01 00000002 00000003 474554 00000001 6b';
    assert.equal(bytes.toString('hex'), compact.replaceAll(' ', ''));
    assert.equal(decoded(bytes, DEFAULT_ENCODINGS)[0]!.settings.quietClient, 10_000_000_007);
  });

  test('carries rows of a value that is built aside', () => {
    const rows = [
      { key: Buffer.from('head e row'), value: Buffer.from('value'), expireTs: hlcTimestamp(0n) },
      { key: Buffer.from('head e other'), value: Buffer.alloc(0), expireTs: hlcTimestamp(7n) },
    ];
    const request = new RowsRequest(rows, {
      resp: 2,
      settings: settingsWith(DEFAULT_ENCODINGS),
      owner: OWNER,
      token: 0,
    });
    const bytes = Buffer.from(encodeBatch(groupId(7), [request]));
    const tail = rows
      .map(({ key, value, expireTs }) => [key, value].map(lengthAnd).join('') + expireTs.toString(16).padStart(16, '0'))
      .join('');
    assert.equal(bytes.toString('hex'), `0301000000070000000104020000000${rows.length}${tail}`);
    const [back] = decoded(bytes, DEFAULT_ENCODINGS);
    assert.ok(back instanceof RowsRequest && back.isRepeatable);
    assert.deepEqual(back.rows, rows);
  });

  test("goes by the thresholds of the client's node, not of the leader's", () => {
    const bytes = Buffer.from(encodeBatch(groupId(7), [get(THRESHOLDS), get(DEFAULT_ENCODINGS, 1)]));
    const requests = decoded(bytes, { ...DEFAULT_ENCODINGS, hashFields: 9 });
    assert.deepEqual(
      requests.map(({ settings }) => settings.encodings),
      [THRESHOLDS, DEFAULT_ENCODINGS],
    );
  });
});

describe('a forwarded transaction', () => {
  const table = new CommandTable(dataCommands);
  const queued = (text: string) => {
    const args = text.split(' ').map((word) => Buffer.from(word));
    return { spec: table.resolve(args)!.spec, args, db: 2 };
  };
  const encoded = (texts: readonly string[]): Buffer => {
    const options = { resp: 2 as const, settings: settingsWith(DEFAULT_ENCODINGS), owner: OWNER, token: 0 };
    return encodeBatch(groupId(7), [new TransactionRequest([], texts.map(queued), options)]);
  };
  const decodedWith = (bytes: Buffer, looked: string[]) => {
    const findData = (args: readonly Buffer[]) => {
      looked.push(args.join(' '));
      return table.resolve(args)?.spec;
    };
    const message = decodeMessage(bytes, { ...environmentWith(DEFAULT_ENCODINGS), findData });
    assert.ok(message.kind === 'batch');
    return message.requests[0]!;
  };

  test('has its commands with their arguments', () => {
    const texts = [
      'SET a 1',
      'get a',
      'GET a',
      'GET b',
      'OBJECT ENCODING a',
      'OBJECT FREQ a',
      'SET b 2 EX 9',
      'SETNX b 2',
    ];
    const request = decodedWith(encoded(texts), []);
    assert.equal(request.namedCount(), 23);
    assert.deepEqual(
      request.commands.map(({ spec, args, db }) => [spec, args.join(' '), db]),
      texts.map((text) => [queued(text).spec, text, 2]),
    );
    assert.ok(request.isWrite);
  });

  test('looks commands up once that follow one another', () => {
    const looked: string[] = [];
    const request = decodedWith(encoded(Array.from({ length: 1_000 }, (_, at) => `SET key:${at} value`)), looked);
    assert.deepEqual(looked, ['SET key:0 value']);
    assert.equal(request.namedCount(), 3_000);
  });

  test('is refused when it is cut short', () => {
    const bytes = encoded(['GET a', 'GET b']);
    for (let length = 20; length < bytes.length; length++)
      assert.throws(() => decodedWith(bytes.subarray(0, length), []), RangeError, `${length} bytes`);
  });
});
