/** What nodes say about users, and what lies in the row: bytes that other programs read. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RuleCommands, User } from '../../../../src/adapter/redis/acl/index.ts';
import { UserTable } from '../../../../src/adapter/redis/acl/user-table.ts';
import {
  decodeUserAnswer,
  decodeUserRequest,
  encodeUserAnswer,
  encodeUserRequest,
  type UserAnswer,
  type UserRequest,
} from '../../../../src/adapter/redis/acl/user-wire.ts';
import { CommandTable } from '../../../../src/adapter/redis/command/index.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { groupId, nodeId } from '../../../../src/platform/index.ts';

const environment = { commands: new RuleCommands(new CommandTable(ALL_COMMANDS)), allChannels: false };
const asking = { group: groupId(7), node: nodeId(3), revision: 5 };
const hex = (spaced: string): string => spaced.replaceAll(' ', '');

describe('messages about users', () => {
  test('have these bytes, and say the same when they are read', () => {
    const requests: readonly (readonly [UserRequest, string])[] = [
      [{ ...asking, kind: 'watch', holdMs: 1000 }, '01 01 00000007 00000003 0000000000000005 000003e8'],
      [{ ...asking, kind: 'change', users: Buffer.from('u') }, '01 02 00000007 00000003 0000000000000005 00000001 75'],
    ];
    for (const [request, bytes] of requests) {
      assert.equal(encodeUserRequest(request).toString('hex'), hex(bytes));
      assert.deepEqual(decodeUserRequest(Buffer.from(hex(bytes), 'hex')), request);
    }
    const answers: readonly (readonly [UserAnswer, string])[] = [
      [{ kind: 'refused' }, '00'],
      [{ kind: 'same' }, '01'],
      [{ kind: 'users', users: undefined }, '02 00'],
      [{ kind: 'users', users: Buffer.from('u') }, '02 01 00000001 75'],
      [{ kind: 'stored', unheard: [nodeId(2)] }, '03 00000001 00000002'],
      [{ kind: 'overtaken' }, '04'],
    ];
    for (const [answer, bytes] of answers) {
      assert.equal(encodeUserAnswer(answer).toString('hex'), hex(bytes));
      assert.deepEqual(decodeUserAnswer(Buffer.from(hex(bytes), 'hex')), answer);
    }
  });

  test('are refused when they are cut short or unknown', () => {
    const whole = encodeUserRequest({ ...asking, kind: 'change', users: Buffer.from('users') });
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => decodeUserRequest(whole.subarray(0, length)), RangeError);
    }
    for (const bytes of ['02 01', '01 03 00000007 00000003 0000000000000005']) {
      assert.throws(() => decodeUserRequest(Buffer.from(hex(bytes), 'hex')), RangeError);
    }
    assert.throws(() => decodeUserAnswer(Buffer.from('05', 'hex')), RangeError);
  });
});

describe('the row with the users', () => {
  const rules = ['on', '>p', '~a*', '%R~"b', '&\xff', '+get', '+select|0', '(+set %W~d)'];
  const bob = new User('b\xf6b', environment).changedBy(rules);

  test('has these bytes', () => {
    const table = UserTable.NONE.with(bob);
    assert.equal(
      table.encode().toString('latin1'),
      '\x01\0\0\0\0\0\0\0\x01[{"name":"b\xc3\xb6b","flags":["on"],' +
        '"hashes":["148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940"],' +
        '"selectors":[["~a*","%R~\\"b","resetchannels","&\xc3\xbf","-@all","+select|0","+get"],' +
        '["%W~d","resetchannels","-@all","+set"]],"born":1}]',
    );
    const read = UserTable.decode(table.encode(), environment);
    assert.equal(read.find(bob.name)!.user.describe(), bob.describe());
    assert.deepEqual([read.revision, read.find(bob.name)!.born], [1, 1]);
  });

  test('of another format is not read, and what this program does not know is not permitted', () => {
    const bytes = UserTable.NONE.with(bob).encode();
    bytes[0] = 2;
    assert.throws(() => UserTable.decode(bytes, environment), SyntaxError);
    const parts = bob.toParts();
    const later = {
      ...parts,
      selectors: [
        ['~*', '-@all', '+get', '+later'],
        ['~*', '-@all', '+@later', '+set'],
      ],
    };
    assert.equal(
      User.fromParts(later, environment).describe(),
      `on #${parts.hashes[0]} ~* resetchannels -@all +get (~* resetchannels -@all +set)`,
    );
    const odd = { ...parts, selectors: [['~*', '+@all', '?odd']] };
    assert.equal(User.fromParts(odd, environment).describe(), 'off resetchannels -@all');
  });
});
