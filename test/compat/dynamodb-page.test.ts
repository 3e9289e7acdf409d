import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { REQUESTS } from '../../src/adapter/dynamodb/model/index.ts';
import { NOTES } from './dynamodb-notes.ts';
import { dynamodbPage, noteOfParameter, sdkOperations, servedOperations, standingOf } from './dynamodb-page.ts';

describe('the table of DynamoDB operations', () => {
  const operations = sdkOperations();
  const served = servedOperations();

  test('is the one in docs', () => {
    const page = readFileSync(new URL('../../docs/dynamodb.md', import.meta.url), 'utf8');
    assert.equal(page, dynamodbPage(), 'run `npm run docs:dynamodb`');
  });

  test('knows every parameter of the newest SDK, or says what becomes of it', () => {
    const untold = operations.flatMap((operation) =>
      standingOf(operation.name, served) === 'unknown'
        ? []
        : operation.parameters
            .filter((parameter) => noteOfParameter(operation, parameter)?.standing === 'unknown')
            .map((parameter) => `${operation.name}.${parameter}`),
    );
    assert.deepEqual(untold, []);
  });

  test('has no operation, parameter or note that the SDK does not know', () => {
    const known = new Map(operations.map((operation) => [operation.name, operation]));
    const strange = [...REQUESTS.values()].flatMap(({ name, shape }) => {
      const operation = known.get(name);
      if (operation === undefined) return [name];
      return shape.members
        .filter((member) => !operation.parameters.includes(member.name))
        .map((member) => `${name}.${member.name}`);
    });
    const noted = Object.entries(NOTES).flatMap(([name, { parameters = {} }]) =>
      Object.keys(parameters)
        .filter((parameter) => known.get(name)?.parameters.includes(parameter) !== true)
        .map((parameter) => `${name}.${parameter}`),
    );
    assert.deepEqual([...strange, ...noted, ...Object.keys(NOTES).filter((name) => !known.has(name))], []);
  });

  test('asks for what the SDK asks for', () => {
    // These say by themselves, in words of their own, that something is missing.
    const own = new Set(['TagResource', 'UntagResource', 'ListTagsOfResource']);
    const lax = operations.flatMap(({ api, name, parameters, requiredCount }) => {
      const shape = REQUESTS.get(`${api}.${name}`)?.shape;
      if (shape === undefined || own.has(name)) return [];
      return parameters
        .slice(0, requiredCount)
        .filter((parameter) => shape.byName.has(parameter) && shape.byName.get(parameter)?.isRequired !== true)
        .map((parameter) => `${name}.${parameter}`);
    });
    assert.deepEqual(lax, []);
  });
});
