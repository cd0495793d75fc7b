package providertest

func RegexpCSRF(body string) string {
	for _, in := range InputTag.FindAllStringSubmatch(body, -1) {
		if a := Attributes(in[1]); a["name"] == "csrf" {
			return a["value"]
		}
	}
	return ""
}
