// graphql-js as an oracle: one JSON request a line on stdin, one JSON answer a line on stdout, in order.
//
// {op: "parse",    document}                                         -> {errors: [text]}
// {op: "schema",   sdl}                                              -> {errors: [text]}
// {op: "validate", sdl, document}                                    -> {errors: [text]}
// {op: "coerce",   sdl, document, operationName?, variables?}        -> {variables} or {errors: [text]}
// {op: "execute",  sdl, document, operationName?, variables?, event} -> {result} or {errors: [text]}
// {op: "query",    sdl, document, operationName?, variables?}        -> {result} or {errors: [text]}
// {op: "arguments", sdl, document, operationName?, variables?}       -> {variables, arguments: {"line:column": {value} or {error}}}
//                                                                       for every selected field that takes arguments
// {op: "case",     like execute}  -> {stage: "parse" | "validate" | "operation" | "coerce", errors: [text]}
//                                    or {stage: "execute", variables, result}
// {op: "introspection"}                                              -> {document}: the standard introspection query
//
// `execute` runs a subscription operation on one event: the root field's value is the event (wrapped into a list
// where the field is a list and the event is not), the other fields read the member of their name, __typename
// decides the type of abstract values. A value of an object type must be a JSON object, unless loose: true.
// Directives that the SDL uses and does not define are allowed.
import { createInterface } from 'node:readline';
import {
  TypeInfo, buildASTSchema, executeSync, getArgumentValues, getIntrospectionQuery, getLocation, getNullableType, getOperationAST,
  getVariableValues, isListType, isObjectType, parse, validate, validateSchema, visit, visitWithTypeInfo,
} from 'graphql';

const root = Symbol('root');
const schemas = new Map();

function schemaOf({ sdl, loose }) {
  const key = (loose ? 'loose:' : 'strict:') + sdl;
  let schema = schemas.get(key);
  if (schema === undefined) {
    schema = buildASTSchema(parse(sdl), { assumeValid: true, assumeValidSDL: true });
    if (!loose) {
      for (const type of Object.values(schema.getTypeMap())) {
        if (isObjectType(type) && !type.name.startsWith('__') && type !== schema.getSubscriptionType()) {
          type.isTypeOf = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
        }
      }
    }
    if (schemas.size > 50) schemas.clear();
    schemas.set(key, schema);
  }
  return schema;
}

const texts = (errors) => errors.map((error) => error.message);

function schemaErrors({ sdl }) {
  try {
    return texts(validateSchema(buildASTSchema(parse(sdl))));
  } catch (error) {
    return error.message.split('\n\n');
  }
}

function coerce(schema, operation, variables) {
  const { variableValues, errors } = getVariableValues(schema, operation.variableDefinitions ?? [], variables ?? {}, { maxErrors: 50 });
  return errors ? { errors: texts(errors) } : { variables: variableValues.coerced, variableValues };
}

// coerceArguments coerces the arguments of every field, wherever it stands in the document.
function coerceArguments(schema, document, variableValues) {
  const result = {};
  const info = new TypeInfo(schema);
  visit(document, visitWithTypeInfo(info, {
    Field(node) {
      const def = info.getFieldDef();
      if (!def || def.args.length === 0) return;
      const { line, column } = getLocation(node.loc.source, node.loc.start);
      try {
        result[`${line}:${column}`] = { value: getArgumentValues(def, node, variableValues) };
      } catch (error) {
        result[`${line}:${column}`] = { error: error.message };
      }
    },
  }));
  return result;
}

// read resolves every field: the root to the event, others to the member of their name.
function read(source, _args, _context, info) {
  if (source !== null && typeof source === 'object') {
    if (Object.hasOwn(source, root)) {
      const event = source[root];
      return isListType(getNullableType(info.returnType)) && !Array.isArray(event) ? [event] : event;
    }
    if (Object.hasOwn(source, info.fieldName)) return source[info.fieldName];
  }
  return undefined;
}

function typeName(value) {
  return value !== null && typeof value === 'object' && Object.hasOwn(value, '__typename') ? value.__typename : undefined;
}

function run(request, schema, document, rootValue) {
  return executeSync({
    schema, document, rootValue, fieldResolver: read, typeResolver: typeName,
    operationName: request.operationName || undefined, variableValues: request.variables ?? {},
  });
}

// staged goes through all steps of a request; stop names the last one.
function staged(request, stop) {
  let document;
  try {
    // The grammar of the specification: graphql-js 17 also takes empty selections unless told not to.
    document = parse(request.document, { allowEmptySelectionSets: false });
  } catch (error) {
    return { stage: 'parse', errors: [error.message] };
  }
  if (stop === 'parse') return { errors: [] };
  const schema = schemaOf(request);
  const invalid = validate(schema, document);
  if (invalid.length > 0) return { stage: 'validate', errors: texts(invalid) };
  if (stop === 'validate') return { errors: [] };
  const operation = getOperationAST(document, request.operationName || undefined);
  if (!operation) return { stage: 'operation', errors: ['no such operation'] };
  const { variables, variableValues, errors } = coerce(schema, operation, request.variables);
  if (errors) return { stage: 'coerce', errors };
  if (stop === 'arguments') return { variables, arguments: coerceArguments(schema, document, variableValues) };
  if (stop === 'coerce') return { variables };
  const rootValue = stop === 'query' ? {} : { [root]: request.event };
  return { stage: 'execute', variables, result: run(request, schema, document, rootValue) };
}

function answer(request) {
  switch (request.op) {
    case 'introspection':
      return { document: getIntrospectionQuery({ specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true, inputValueDeprecation: true, oneOf: true }) };
    case 'schema':
      return { errors: schemaErrors(request) };
    case 'parse':
    case 'validate':
    case 'coerce':
    case 'arguments':
    case 'query':
      return staged(request, request.op);
    case 'execute':
    case 'case':
      return staged(request, 'execute');
    default:
      return { fault: `unknown op ${request.op}` };
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  let reply;
  try {
    reply = answer(JSON.parse(line));
  } catch (error) {
    reply = { fault: String(error.stack) };
  }
  process.stdout.write(JSON.stringify(reply) + '\n');
}
