// Writes results.tsv: what graphql-js 17 makes of JSON values as results of each leaf type. One line per
// value: its JSON text, then the JSON text of the result (or - where it is refused) as Int, Float, String, ID,
// Boolean and as enum { RED GREEN }. Run: npm install graphql@17 && node results.mjs > results.tsv
import { GraphQLBoolean, GraphQLEnumType, GraphQLFloat, GraphQLID, GraphQLInt, GraphQLString } from 'graphql';

const Color = new GraphQLEnumType({ name: 'Color', values: { RED: {}, GREEN: {} } });
const types = [GraphQLInt, GraphQLFloat, GraphQLString, GraphQLID, GraphQLBoolean, Color];

let state = 20261123;
const random = (n) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 4294967296) * n);
};
const pick = (list) => list[random(list.length)];
const digits = (n) => Array.from({ length: n }, () => random(10)).join('');
const whole = () => pick(['0', '1', '9', String(1 + random(9)) + digits(random(12)), String(1 + random(9)) + digits(random(25))]);
const number = () =>
  pick(['', '', '-']) + whole() + pick(['', '', '.' + digits(1 + random(3)), '.' + digits(1 + random(20)), '.0', '.50']) +
  pick(['', '', '', 'e', 'E']).replace(/e/i, (e) => e + pick(['', '+', '-']) + String(random(pick([4, 25, 340]))));

const texts = [
  'true', 'false', '""', '"RED"', '"GREEN"', '"BLUE"', '"red"', '"\\u0052ED"', '"RED "', '[]', '{}', '["RED"]', '[1]', '{"a":1}', '[null]', '[""]',
  '0', '-0', '-0.0', '0e5', '-0e-5', '0.0', '1', '-1', '1.0', '1.5', '-1.5', '1e0', '1e2', '1E2', '1.5e1', '15e-1', '100e-2', '1e-2', '0.1', '0.5', '-0.5',
  '2147483647', '2147483648', '-2147483648', '-2147483649', '2147483647.0', '2147483647.5', '2.147483647e9', '2.147483648e9', '2147483647.00000001', '2147483647.0000000001',
  '0.00000000000000000000000000000001', '1.00000000000000000000001', '0.99999999999999999999', '9007199254740991', '9007199254740992', '9007199254740993',
  '-9007199254740993', '9007199254740993.0', '123456789012345678901234567890', '1e20', '1e21', '1e22', '123e20', '999999999999999999999', '1000000000000000000000', '100000000000000000000',
  '1e-6', '1e-7', '0.000001', '0.0000001', '0.0000012', '0.00000123', '1.10', '1.100e1', '123456789.123456789', '0.1234567890123456789', '5e-324', '2e-324', '1e-400', '-1e-400', '1.7976931348623157e308', '1.7976931348623159e308',
  '1e308', '1e309', '1e400', '-1e400', '1' + '0'.repeat(308), '1' + '0'.repeat(309), '12345e-3', '4.35', '0.3', '4.349999999999999644728632', '9999999999999999', '123456789012345', '1234567890123456', '0.100', '10.010', '-1.0e-10',
  '"a"', '"é"', '"\\n"', '"\\"\\\\"', '"\\/"', '"\\ud800"', '"😀"', '"\\ud83d\\ude00"', '"true"', '"false"', '"null"',
  ...[
    ' ', '  ', '\t\n\r\v\f', '\u00a0', '\ufeff', '\u2028', '\u2029', '\u3000', '\u1680', '\u180e', '\u200b', '\u0085', '\u2007 1 \u202f',
    '1', ' 1', '1 ', '\t1\n', '\u00a01\ufeff', '1 2', '+1', '-1', '- 1', '+-1', '01', '007', '-007', '1.', '.5', '.', '-.5', '+.5', '1.0', '1.5', '12.0', '1.50', '1e3', '1E3', '1e+3', '1e-3', '1e', 'e1', '.e1', '1.e1', '.1e1',
    '1_000', '1,000', '1n', '1f', '0x', '0x10', '0X1f', '0xg', '-0x10', '+0x10', '0b', '0b11', '0B11', '0b12', '0o17', '0O17', '0o18', '0x7fffffff', '0x80000000', '0x20000000000001', '0xfffffffffffff800', '0xfffffffffffffbff',
    '0b' + '1'.repeat(60), '0x' + 'f'.repeat(255), '0x' + 'f'.repeat(256), '0x' + '0'.repeat(2000) + '1', '0o' + '7'.repeat(341), '0o1' + '7'.repeat(341), '0x1p3', '0x1.8', '0x 1', ' 0x1 ',
    'Infinity', '-Infinity', '+Infinity', 'infinity', 'inf', 'Inf', 'NaN', 'nan', 'abc', '1a', 'a1', '２', '٣', '2147483647', '2147483648', '-2147483648', '-2147483649', '2147483647.0', '1e400', '-1e400', '1e-400',
    '9007199254740993', '0.1', '-0', '-0.0', '+0', '00', '0.0', '00.50', '1e0001', '1e-0001', '123456789012345678901234567890', '1e21', '1e-7', '1__0', '0_1', "'1'", '1\u0000', '\u0000', '1\u200b', '--1', '1-', '1+1', '1/2', '1%', '$1', '#1', '(1)', 'true', 'RED',
  ].map((s) => JSON.stringify(s)),
];
while (texts.length < 1500) texts.push(number());
while (texts.length < 1800) texts.push(JSON.stringify(pick(['', '', ' ', '+']) + number() + pick(['', '', '', ' ', '.', 'x'])));

for (const text of new Set(texts)) {
  const results = types.map((type) => {
    try {
      return JSON.stringify(type.coerceOutputValue(JSON.parse(text)));
    } catch {
      return '-';
    }
  });
  console.log([text, ...results].join('\t'));
}
