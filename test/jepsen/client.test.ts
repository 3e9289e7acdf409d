import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ReplyError } from 'ioredis';
import { classifyError, NothingHappened } from '../../jepsen/client.ts';
import { dynamoOutcome } from '../../jepsen/dynamo-client.ts';

const cases: { name: string; error: unknown; read: string; write: string; isConnectionLost: boolean }[] = [
  {
    name: 'an error reply that proves that nothing happened',
    error: new ReplyError('CLUSTERDOWN no leader could be reached in time; nothing happened'),
    read: 'fail',
    write: 'fail',
    isConnectionLost: false,
  },
  {
    name: 'an error reply that says that nobody knows',
    error: new ReplyError('UNKNOWN the leader did not answer in time'),
    read: 'fail',
    write: 'info',
    isConnectionLost: false,
  },
  {
    name: 'a workload that knows that nothing happened',
    error: new NothingHappened('a watched key changed'),
    read: 'fail',
    write: 'fail',
    isConnectionLost: false,
  },
  {
    name: 'a connection that breaks under an operation',
    error: new Error('Connection is closed.'),
    read: 'fail',
    write: 'info',
    isConnectionLost: true,
  },
  {
    name: 'a command that nobody answers',
    error: new Error('Command timed out'),
    read: 'fail',
    write: 'info',
    isConnectionLost: true,
  },
  {
    name: 'a connection that was closed before the operation was sent',
    error: new Error("Stream isn't writeable and enableOfflineQueue options is false"),
    read: 'fail',
    write: 'fail',
    isConnectionLost: true,
  },
  {
    name: 'an error that is no Error',
    error: 'broken',
    read: 'fail',
    write: 'info',
    isConnectionLost: true,
  },
];

describe('what an error means for the history', () => {
  for (const { name, error, read, write, isConnectionLost } of cases) {
    test(`${name}: ${read} for a read, ${write} for a write`, () => {
      assert.equal(classifyError(error, true).type, read);
      assert.equal(classifyError(error, false).type, write);
      assert.equal(classifyError(error, false).connectionLost, isConnectionLost);
    });
  }
});

/** An error as the AWS SDK throws it. @param httpStatusCode undefined when no answer has come */
const awsError = (name: string, httpStatusCode: number | undefined, code?: string): Error =>
  Object.assign(new Error(`the text of ${name}`), { name, code, $metadata: { httpStatusCode } });

describe('what an error of the AWS SDK means for the history', () => {
  const errors: readonly (readonly [what: string, error: Error, write: string, isConnectionLost: boolean])[] = [
    ['a refused condition', awsError('ConditionalCheckFailedException', 400), 'fail', false],
    ['a node without a leader', awsError('ServiceUnavailable', 503), 'fail', false],
    ['a node that does not know what happened', awsError('InternalServerError', 500), 'info', false],
    ['a workload that knows that nothing happened', new NothingHappened('it was not read'), 'fail', false],
    ['a connection that breaks', awsError('Error', undefined, 'ECONNRESET'), 'info', true],
    ['a node that nobody reaches', awsError('Error', undefined, 'ECONNREFUSED'), 'fail', true],
    ['an answer that does not come', awsError('TimeoutError', undefined), 'info', true],
  ];
  for (const [what, error, write, isConnectionLost] of errors) {
    test(`${what}: fail for a read, ${write} for a write`, () => {
      assert.equal(dynamoOutcome(error, true).type, 'fail');
      assert.equal(dynamoOutcome(error, false).type, write);
      assert.equal(dynamoOutcome(error, false).connectionLost, isConnectionLost);
    });
  }
});
