package providertest

const Offline = "openid profile offline_access"
