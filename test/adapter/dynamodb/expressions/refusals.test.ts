import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DynamoError } from '../../../../src/adapter/dynamodb/errors/index.ts';
import {
  CONDITIONAL_WRITE,
  checkConditionKeys,
  checkFilterKeys,
  checkUpdateKeys,
  type ExpressionMembers,
  type ExpressionUse,
  GET,
  QUERY,
  readExpressions,
  SCAN,
  UPDATE,
} from '../../../../src/adapter/dynamodb/expressions/index.ts';

const VALUES = {
  ':n': { N: '1' },
  ':m': { N: '2' },
  ':s': { S: 'x' },
  ':l': { L: [] },
  ':set': { SS: ['a'] },
  ':t': { S: 'BOOL' },
};
const NAMES = { '#a': 'a', '#size': 'size' };

function refusal(members: ExpressionMembers, use: ExpressionUse): string {
  try {
    readExpressions(members, use);
    return 'accepted';
  } catch (error) {
    assert.ok(error instanceof DynamoError, String(error));
    assert.equal(error.type, 'ValidationException');
    return error.message;
  }
}

/** Without what is said about names and values that the text does not use. */
function refusalOf(member: keyof ExpressionMembers, text: string): string {
  const use = {
    UpdateExpression: UPDATE,
    ProjectionExpression: GET,
    KeyConditionExpression: QUERY,
    FilterExpression: SCAN,
  };
  const found = refusal(
    {
      [member]: text,
      ExpressionAttributeNames: NAMES,
      ExpressionAttributeValues: member === 'ProjectionExpression' ? undefined : VALUES,
    },
    use[member as keyof typeof use] ?? CONDITIONAL_WRITE,
  );
  return found.includes('unused in expressions') ? 'accepted' : found.replace(`Invalid ${member}: `, '');
}

const check = (member: keyof ExpressionMembers, cases: Readonly<Record<string, string>>): void => {
  for (const [text, problem] of Object.entries(cases)) assert.equal(refusalOf(member, text), problem, text);
};

const notDefined = 'An expression attribute name used in the document path is not defined; attribute name: #zz';
const valueNotDefined = 'An expression attribute value used in expression is not defined; attribute value: :zz';
const misused = 'The function is not allowed to be used this way in an expression; function:';
const incorrect = 'Incorrect operand type for operator or function; operator or function:';
const overlap = 'Two document paths overlap with each other; must remove or rewrite one of these paths;';
const conflict = 'Two document paths conflict with each other; must remove or rewrite one of these paths;';

describe('a condition is refused with the text of the service', () => {
  test('when it is no condition', () => {
    check('ConditionExpression', {
      '': 'The expression can not be empty;',
      '!!': 'Syntax error; token: "!", near: "!!"',
      a: 'Syntax error; token: "<EOF>", near: "a"',
      'a =': 'Syntax error; token: "<EOF>", near: "="',
      'a = :n AND': 'Syntax error; token: "<EOF>", near: "AND"',
      'a AND b': 'Syntax error; token: "AND", near: "a AND b"',
      '_a = :n': 'Syntax error; token: "_", near: "_a"',
      'a = 10': 'Syntax error; token: "10", near: "= 10"',
      'a = b = c': 'Syntax error; token: "=", near: "b = c"',
      '(a = :n': 'Syntax error; token: "<EOF>", near: ":n"',
      'a = :n)': 'Syntax error; token: ")", near: ":n)"',
      '(a = :n) = b': 'Syntax error; token: "=", near: ") = b"',
      '(NOT a) = b': 'Syntax error; token: ")", near: "a) ="',
      'a = (b = c)': 'Syntax error; token: "=", near: "b = c"',
      'a[:n] = :n': 'Syntax error; token: ":n", near: "[:n]"',
      'a.and = :n': 'Syntax error; token: "and", near: ".and ="',
      'size() = :n': 'Syntax error; token: ")", near: "() ="',
      'a IN ()': 'Syntax error; token: ")", near: "()"',
      'a IN :l': 'Syntax error; token: ":l", near: "IN :l"',
      'a BETWEEN :n': 'Syntax error; token: "<EOF>", near: ":n"',
      '# = :n': 'Syntax error; token: "#", near: "# ="',
      'a = 😀': 'Syntax error; token: "😀", near: "= 😀"',
    });
  });

  test('when its parts do not go together, the first kind of problem first', () => {
    check('ConditionExpression', {
      '((a = :n))': 'The expression has redundant parentheses;',
      '((a)) = :n': 'The expression has redundant parentheses;',
      'a = ((:n))': 'The expression has redundant parentheses;',
      'a = ((:n)) AND foo(size)': 'The expression has redundant parentheses;',
      '(a = :n)': 'accepted',
      '(a) = (:n)': 'accepted',
      'foo(a) AND size = :zz': 'Invalid function name; function: foo',
      'SIZE(a) = :n': 'Invalid function name; function: SIZE',
      'if_not_exists(a, b)': 'Invalid function name; function: if_not_exists',
      'contains(a, b) = :n': `${misused} contains`,
      'size(a)': `${misused} size`,
      'NOT size(a)': `${misused} size`,
      'size(contains(a, b)) = :n': `${misused} contains`,
      'size = :n': 'Attribute name is a reserved keyword; reserved keyword: size',
      'a.Status = :n': 'Attribute name is a reserved keyword; reserved keyword: Status',
      '#size = :n': 'accepted',
      '#zz = :zz': notDefined,
      'a = :zz': valueNotDefined,
      'size(a, b) = :n':
        'Incorrect number of operands for operator or function; operator or function: size, number of operands: 2',
      'a = #a':
        'The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]',
      'contains(a[1], #a[1])':
        'The first operand must be distinct from the remaining operands for this operator or function; operator: contains, first operand: [a, [1]]',
      'attribute_exists(:n)': 'Operator or function requires a document path; operator or function: attribute_exists',
      'begins_with(a, :n)': `${incorrect} begins_with, operand type: N`,
      'begins_with(a, size(b))': `${incorrect} begins_with, operand type: N`,
      'attribute_type(a, :n)': `${incorrect} attribute_type, operand type: N`,
      'attribute_type(a, b)': `${incorrect} attribute_type, operand type: {NS,SS,L,BS,N,M,B,BOOL,NULL,S}`,
      'attribute_type(a, :s)':
        'Invalid attribute type name found; type: x, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}',
      'attribute_type(a, :t)': 'accepted',
      'size(:n) = :n': `${incorrect} size, operand type: N`,
      'a < :l': `${incorrect} <, operand type: L`,
      ':set >= a': `${incorrect} >=, operand type: SS`,
      'a BETWEEN b AND :l': `${incorrect} BETWEEN, operand type: L`,
      'a BETWEEN :m AND :n':
        'The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:2}, upper bound operand: AttributeValue: {N:1}',
      'a BETWEEN :m AND :s':
        'The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {N:2}, upper bound operand: AttributeValue: {S:x}',
      'a BETWEEN :n AND :n': 'accepted',
      'a < :l OR b = :zz': `${incorrect} <, operand type: L`,
    });
  });

  test('when it is too large', () => {
    const members = (count: number): string => Array.from({ length: count }, () => ':n').join(',');
    const chain = (count: number): string => Array.from({ length: count }, (_, at) => `a${at}=:n`).join(' OR ');
    check('ConditionExpression', {
      [`a = ${'b'.repeat(4096)}`]: 'Expression size has exceeded the maximum allowed size; expression size: 4100',
      [`a IN (${members(100)})`]: 'accepted',
      [`a IN (${members(101)})`]: 'The IN operator is provided with too many operands; number of operands: 101',
      [chain(150)]: 'accepted',
      [chain(151)]: 'The expression contains too many operators; operator count: 301',
      [`a${'.b'.repeat(31)} = :n`]: 'accepted',
      [`a${'.b'.repeat(32)} = :n`]: 'The document path has too many nesting elements; nesting depth: 33',
      'a[2147483648] = :n': 'List index is not within the allowable range; index: [2147483648]',
    });
  });
});

describe('an update is refused with the text of the service', () => {
  test('when it is none, or its parts do not go together', () => {
    check('UpdateExpression', {
      'HELLO a = :n': 'Syntax error; token: "HELLO", near: "HELLO a"',
      'SET a': 'Syntax error; token: "<EOF>", near: "a"',
      'SET a = :n + :n + :n': 'Syntax error; token: "+", near: ":n + :n"',
      'SET a = (b + :n) + :n': 'Syntax error; token: "+", near: ") + :n"',
      'SET a = list_append(b + c, d)': 'Syntax error; token: "+", near: "b + c"',
      'ADD a b': 'Syntax error; token: "b", near: "a b"',
      'SET a = :n, REMOVE b': 'Syntax error; token: "REMOVE", near: ", REMOVE b"',
      'SET a = (b - :n) REMOVE b': 'accepted',
      'SET size = foo(:zz)': 'Attribute name is a reserved keyword; reserved keyword: size',
      'SET a = attribute_exists(b) SET c = :n': 'Invalid function name; function: attribute_exists',
      'SET a = :n SET b = #zz': 'The "SET" section can only be used once in an update expression;',
      'SET #zz = :zz': notDefined,
      'SET a = :zz, #a = :n': valueNotDefined,
      'SET a.b = :n, a = :l': `${overlap} path one: [a, b], path two: [a]`,
      'SET a = :n REMOVE a': `${overlap} path one: [a], path two: [a]`,
      'SET a.b = :n, a[1] = :n': `${conflict} path one: [a, b], path two: [a, [1]]`,
      'SET a.b = :n, a[1] = :n, a[1] = :n': `${overlap} path one: [a, [1]], path two: [a, [1]]`,
      'ADD a :s': 'Incorrect operand type for operator or function; operator: ADD, operand type: STRING',
      'ADD a :l': 'Incorrect operand type for operator or function; operator: ADD, operand type: LIST',
      'DELETE a :n': 'Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER',
      'SET a = list_append(:l)':
        'Incorrect number of operands for operator or function; operator or function: list_append, number of operands: 1',
      'SET a = if_not_exists(:n, :n)':
        'Operator or function requires a document path; operator or function: if_not_exists',
      'SET a = list_append(a, :s)': `${incorrect} list_append, operand type: S`,
      'SET a = a + :s': `${incorrect} +, operand type: S`,
    });
    check('ProjectionExpression', {
      'a,': 'Syntax error; token: "<EOF>", near: ","',
      'my-attr': 'Syntax error; token: "-", near: "my-attr"',
      'a, and': 'Attribute name is a reserved keyword; reserved keyword: and',
      'a, a.b': `${overlap} path one: [a], path two: [a, b]`,
      'a[0], a.b': `${conflict} path one: [a, [0]], path two: [a, b]`,
    });
  });
});

describe('a request is refused', () => {
  test('when it has what goes with expressions and none, or mixes them with older parameters', () => {
    const cases: readonly (readonly [ExpressionMembers, ExpressionUse, string])[] = [
      [
        { UpdateExpression: 'SET a = :n', AttributeUpdates: {}, Expected: {} },
        UPDATE,
        'Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {AttributeUpdates, Expected} Expression parameters: {UpdateExpression}',
      ],
      [
        { ExpressionAttributeNames: NAMES },
        GET,
        'ExpressionAttributeNames can only be specified when using expressions',
      ],
      [
        { ExpressionAttributeValues: VALUES },
        CONDITIONAL_WRITE,
        'ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null',
      ],
      [
        { ExpressionAttributeValues: VALUES },
        UPDATE,
        'ExpressionAttributeValues can only be specified when using expressions: UpdateExpression and ConditionExpression are null',
      ],
      [{ ProjectionExpression: 'a', ExpressionAttributeNames: {} }, GET, 'ExpressionAttributeNames must not be empty'],
      [
        { ProjectionExpression: 'a', ExpressionAttributeNames: { n: 'a' } },
        GET,
        'ExpressionAttributeNames contains invalid key: Syntax error; key: "n"',
      ],
      [
        { ProjectionExpression: '#n', ExpressionAttributeNames: { '#n': '' } },
        GET,
        'ExpressionAttributeNames contains invalid value: Empty attribute name for key #n',
      ],
      [
        { FilterExpression: 'a = :v', ExpressionAttributeValues: { ':v': { N: 'x' } } },
        SCAN,
        'ExpressionAttributeValues contains invalid value: The parameter cannot be converted to a numeric value: x for key :v',
      ],
      [
        { ProjectionExpression: '#a', ExpressionAttributeNames: { '#a': 'a', '#b': 'b', '#c': 'c' } },
        GET,
        'Value provided in ExpressionAttributeNames unused in expressions: keys: {#b, #c}',
      ],
      [
        { FilterExpression: 'a = :v', ExpressionAttributeValues: { ':v': { N: '1' }, ':w': { N: '1' } } },
        SCAN,
        'Value provided in ExpressionAttributeValues unused in expressions: keys: {:w}',
      ],
      [{}, QUERY, 'Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.'],
      [{ ConditionalOperator: 'AND' }, SCAN, 'ConditionalOperator cannot be used without Filter or Expected'],
      [
        { AttributesToGet: ['a', 'b', 'a'] },
        GET,
        'One or more parameter values were invalid: Duplicate value in attribute name: a',
      ],
    ];
    for (const [members, use, text] of cases) assert.equal(refusal(members, use), text);
    const mixed = { KeyConditions: { p: { ComparisonOperator: 'EQ', AttributeValueList: [{ S: 'a' }] } } };
    const values = { ':n': { N: '1' } };
    assert.equal(
      refusal({ ...mixed, FilterExpression: 'a = :n', ExpressionAttributeValues: values }, QUERY),
      'accepted',
    );
  });

  test('when it touches keys in ways that keys do not allow', () => {
    const keys = { table: ['p', 'r'], indexes: ['g'] };
    const updateOf = (text: string): void =>
      checkUpdateKeys(readExpressions({ UpdateExpression: text }, UPDATE).update!, keys);
    const conditionOf = (text: string): void =>
      checkConditionKeys(readExpressions({ ConditionExpression: text }, CONDITIONAL_WRITE).condition!, keys);
    const isPart = (name: string): RegExp =>
      new RegExp(`Cannot update attribute ${name}. This attribute is part of the key`);
    assert.throws(() => updateOf('SET a = b REMOVE r'), isPart('r'));
    assert.throws(() => updateOf('SET g.x = b'), /map lookup '\.' are not allowed: IndexKey: g/);
    assert.throws(() => conditionOf('NOT attribute_exists(p.x)'), /map lookup '\.' are not allowed: Key: p/);
    updateOf('SET g = b');
    conditionOf('p = r AND g = p');
    const { filter } = readExpressions({ FilterExpression: 'a = b OR size(r) = c' }, SCAN);
    assert.throws(
      () => checkFilterKeys(filter!, ['p', 'r'], 'FilterExpression'),
      /^DynamoError: Filter Expression can only contain non-primary key attributes: Primary key attribute: r$/,
    );
    checkFilterKeys(filter!, ['p', 'x'], 'QueryFilter');
  });
});

describe('a text of any kind', () => {
  const members = [
    'ConditionExpression',
    'KeyConditionExpression',
    'UpdateExpression',
    'ProjectionExpression',
  ] as const;

  test('is read or refused, however deep it is', () => {
    const deep = ['(', 'NOT ', 'size(', 'a=(', 'SET a = (', 'SET a = f(', 'a.', 'a[1]', '(a = b) AND ('];
    for (const member of members)
      for (const part of deep)
        for (const end of ['', 'a', ')'.repeat(400)]) refusalOf(member, part.repeat(4000 / part.length) + end);
    for (const start of ['a = ', 'a IN (', 'SET a = f(', 'size'])
      for (const member of members) refusalOf(member, start + '('.repeat(4000));
    assert.equal(refusalOf('ConditionExpression', `a = ${'('.repeat(400)}`), 'Syntax error; token: "(", near: "((("');
    const parentheses = `${'('.repeat(2000)}a = :n${')'.repeat(2000)}`;
    assert.equal(refusalOf('ConditionExpression', parentheses), 'The expression has redundant parentheses;');
    const nots = `${'NOT '.repeat(1000)} a = :n`;
    assert.equal(
      refusalOf('ConditionExpression', nots),
      'The expression contains too many operators; operator count: 1001',
    );
  });

  test('is read or refused, whatever its words are', () => {
    const words = fc.constantFrom(
      ...['(', ')', '[', ']', ',', '.', '=', '<>', '<', '+', '-', 'AND', 'or', 'NOT', 'BETWEEN', 'IN', 'SET', 'REMOVE'],
      ...['ADD', 'DELETE', 'a', 'b', '#a', '#zz', ':n', ':s', ':l', ':zz', '0', '1', 'size', 'contains', 'list_append'],
      ...['!', '_', '#', ':', '\u0000', '\ud800', ' '],
    );
    const texts = fc.tuple(fc.array(words, { minLength: 1, maxLength: 25 }), fc.constantFrom('', ' '));
    fc.assert(
      fc.property(fc.constantFrom(...members), texts, (member, [parts, blank]) => {
        refusalOf(member, parts.join(blank));
      }),
      { numRuns: 5000 },
    );
  });
});
