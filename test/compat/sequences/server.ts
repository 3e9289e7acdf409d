/** Commands on connections, databases and the server. */
import fc from 'fast-check';
import type { SequenceGroup } from './group.ts';
import { command, key, one, text, type Words, withOptions, words } from './words.ts';

const serverCommands: Words[] = [
  command('KEYS', fc.constantFrom('*', 'a', '?', '[a-b]*', '{a}*', 'no*', '[^a]', 'key:*', '\\a')),
  command('DBSIZE'),
  command('RANDOMKEY'),
  command('SELECT', fc.constantFrom('0', '1', '1', '0', '15', '16', '-1', 'x', '9223372036854775808')),
  fc.oneof(
    one('FLUSHDB', 'FLUSHALL'),
    words(fc.constantFrom('FLUSHDB', 'FLUSHALL'), fc.constantFrom('ASYNC', 'SYNC', 'junk')),
  ),
  fc.oneof(one('PING'), command('PING', text), command('ECHO', text)),
  command('COMMAND', fc.constantFrom('GETKEYS', 'junk'), fc.constantFrom('GET', 'MSET', 'PING', 'NONE'), key, text),
  command('CLIENT', fc.constantFrom('GETNAME', 'ID', 'junk', 'NOSUCH')),
  command('CLIENT', fc.constant('SETNAME'), fc.constantFrom('name', '', 'with blank', 'me')),
  withOptions(
    command('HELLO'),
    fc.oneof(
      one('2', '3', '3', '4', 'x', '-1'),
      words(fc.constant('SETNAME'), fc.constantFrom('me', 'a b')),
      words(fc.constant('AUTH'), fc.constant('default'), text),
    ),
    2,
  ),
  fc.oneof(command('AUTH', text), command('AUTH', fc.constantFrom('default', 'nobody'), text)),
  one('RESET', 'NOSUCHCOMMAND', 'GE', 'get|x'),
];

export const serverGroup: SequenceGroup = { name: 'server', commands: serverCommands, others: 8 };
