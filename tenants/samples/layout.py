"""The shape of an extract: its columns in order, its separators, its encoding."""

COLUMNS = (
    "账号",
    "客户号",
    "客户姓名",
    "证件号码",
    "手机号码",
    "联系地址",
    "产品代码",
    "机构号",
    "币种",
    "授信额度",
    "当前余额",
    "逾期金额",
    "最早逾期日",
    "上期还款额",
)
(
    ACCOUNT,
    CUSTOMER_NUMBER,
    NAME,
    RESIDENT_ID,
    PHONE,
    ADDRESS,
    PRODUCT,
    BRANCH,
    CURRENCY,
    CREDIT_LIMIT,
    BALANCE,
    OVERDUE_AMOUNT,
    OLDEST_DUE_DATE,
    LAST_PAID,
) = range(len(COLUMNS))

DELIMITER = "||"
ENCODING = "gb18030"
LINE_END = "\n"
TRAILER_TAG = "TRL"
