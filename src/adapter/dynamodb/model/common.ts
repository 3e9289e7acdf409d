/** Shapes that several operations have. */
import { ATTRIBUTE, BOOLEAN, list, map, oneOf, string, structure } from './shapes.ts';

const NAME = '[a-zA-Z0-9_.-]+';

/** The name of a table, or its ARN, in operations on data. */
export const TABLE = string({ pattern: NAME, min: 1, max: 1024, table: 'data' });
/** The name of a table, or its ARN, in operations on tables, which say by themselves what its length has to be. */
export const TABLE_OF_CONTROL = string({ pattern: NAME, table: 'control' });
export const TABLE_NAME = string({ pattern: NAME, min: 3, max: 255 });
export const INDEX_NAME = string({ pattern: NAME, min: 3, max: 255 });

export const KEY = map(ATTRIBUTE);
export const ITEM = map(ATTRIBUTE);
export const EXPRESSION = string();
export const ATTRIBUTE_NAMES = map(string());
export const ATTRIBUTE_VALUES = map(ATTRIBUTE);
export const ATTRIBUTES_TO_GET = list(string(), { min: 1, max: 255 });

export const RETURN_CONSUMED_CAPACITY = oneOf('INDEXES', 'TOTAL', 'NONE');
export const RETURN_ITEM_COLLECTION_METRICS = oneOf('SIZE', 'NONE');
export const RETURN_VALUES = oneOf('ALL_NEW', 'UPDATED_OLD', 'ALL_OLD', 'NONE', 'UPDATED_NEW');
export const RETURN_VALUES_ON_FAILURE = oneOf('ALL_OLD', 'NONE');
export const CONDITIONAL_OPERATOR = oneOf('OR', 'AND');

const COMPARISON_OPERATOR = oneOf(
  'IN',
  'NULL',
  'BETWEEN',
  'LT',
  'NOT_CONTAINS',
  'EQ',
  'GT',
  'NOT_NULL',
  'NE',
  'LE',
  'BEGINS_WITH',
  'GE',
  'CONTAINS',
);

export const EXPECTED = map(
  structure('ExpectedAttributeValue', {
    AttributeValueList: list(ATTRIBUTE),
    ComparisonOperator: COMPARISON_OPERATOR,
    Exists: BOOLEAN,
    Value: ATTRIBUTE,
  }),
);

export const CONDITIONS = map(
  structure('Condition', { AttributeValueList: list(ATTRIBUTE), 'ComparisonOperator!': COMPARISON_OPERATOR }),
);

export const CLIENT_REQUEST_TOKEN = string({ min: 1, max: 36 });
export const RESOURCE_ARN = string({ min: 1, max: 1283 });

export const TAG_LIST = list(
  structure('Tag', { 'Key!': string({ min: 1, max: 128 }), 'Value!': string({ min: 0, max: 256 }) }),
);
